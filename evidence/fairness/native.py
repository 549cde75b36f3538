"""What there is to compare with: ``native_NAME.programs(model, mode, x, y)`` gives {name: a function of one step}.

The networks are written as a skilled user of that framework writes them, without anything of Rigmark's. x and y are the
batch that Rigmark's own step gets, in NCHW or tokens; each program ends with its work done.
"""

FRAMEWORKS = ("torch", "tensorflow", "jax", "onnxruntime", "openvino")
MODELS = ("mnist_cnn", "alexnet_one_tower", "resnet18", "resnet50", "lstm")

# These are in transformers_NAME, whose programs start from our weights and give their output or loss, so that they are
# proven to be the same network before they are timed.
TRANSFORMERS = ("bert", "gpt2")
OF_TRANSFORMERS = ("torch", "tensorflow", "jax")
