"""GPUs of Intel."""

IS_HOST = False
TELEMETRY = None
VARIABLES: tuple[str, ...] = ()
NUMBERING: dict[str, str] = {}
NEVER_RAN = "No trial of Rigmark has run on a GPU of Intel yet: no adapter and no telemetry has been tried on one"
