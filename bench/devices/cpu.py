"""The processor of the host."""

IS_HOST = True
TELEMETRY = None             # bench.telemetry.sources.host and rapl are read on every machine
VARIABLES: tuple[str, ...] = ()
NUMBERING: dict[str, str] = {}
NEVER_RAN = None
