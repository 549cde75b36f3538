"""Every network that introductions to deep learning name, once in each framework, inference and training.

Batches are small, so that two cores do. One repetition proves that all frameworks compute the same network, and gives a
first figure without an interval; `rigmark run introductions --beyond --repetitions 10` gives verdicts.
"""

from dataclasses import replace

from rigmark import Mode, StartMethod, Sweep, Timing, benchmark

CLASSICAL = Sweep(
    models=("linear_regression", "logistic_regression"), frameworks=("torch", "tensorflow", "jax"),
    modes=(Mode.INFERENCE, Mode.TRAINING), local_batches=(32,), repetitions=1,
    timing=Timing(
        start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=0.1, max_time_s=2.0, warm_up_max_s=0.2
    ),
)
SWEEPS = (
    CLASSICAL,
    replace(CLASSICAL, models=("softmax_regression", "mlp", "lenet5", "mnist_cnn"), data=("digits",)),
    replace(CLASSICAL, models=("cifar10_cnn", "rnn", "lstm", "gru"), local_batches=(4,)),
    replace(
        CLASSICAL,
        models=(
            "alexnet", "vgg16", "vgg19", "googlenet", "resnet18", "resnet50", "resnet152", "densenet121",
            "mobilenet_v2", "shufflenet_v2", "se_resnet50", "vit_b_16", "unet", "captioning", "style", "dcgan", "dqn",
            "gpt2", "bert", "llama",
        ),
        local_batches=(1,),
    ),
)
track_step_time = benchmark(SWEEPS, __name__)
