"""Networks that find things, name pixels or take noise out of pictures, beside one of classes, in each framework.

Batches are of one picture, so that two cores do. One repetition proves that all frameworks compute the same network,
and gives a first figure without an interval; `rigmark run vision --beyond --repetitions 10` gives verdicts.
"""

from rigmark import Mode, StartMethod, Sweep, Timing, benchmark

SWEEPS = (
    Sweep(
        models=("resnet50", "unet", "segnet", "fcn8s", "ssd300", "faster_rcnn", "mask_rcnn", "ddpm_unet"),
        frameworks=("torch", "tensorflow", "jax"), modes=(Mode.INFERENCE, Mode.TRAINING), local_batches=(1,),
        repetitions=1,
        timing=Timing(
            start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.1, max_time_s=2.0, warm_up_max_s=0.2
        ),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
