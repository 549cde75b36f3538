"""Factories of networks of torchvision and transformers with random weights, as a user would bring them.

``--model evidence.modules_of_others:resnet18``. Those of torchvision are whole, with ten classes and small images.
Those of transformers have fewer and narrower layers than the published ones, and else the settings of their library.
Parameters that a network starts with one number only, such as a head of zeros, are moved at random, since any framework
agrees about zeros; so are running statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

OPERATORS = (
    "nms", "qnms", "roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool",
    "_ps_roi_pool_backward", "roi_pool", "_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward",
)
"""Those that torchvision compiles. Declared, its Python part loads beside any build of PyTorch."""
Made = tuple[nn.Module, dict[str, torch.Tensor] | tuple[torch.Tensor, ...]]

library = torch.library.Library("torchvision", "DEF")
for name in OPERATORS:
    library.define(f"{name}(Tensor a) -> Tensor")


def drawn(network: nn.Module) -> nn.Module:
    """The network with every constant parameter moved by a little, and running statistics of batches."""
    with torch.no_grad():
        for name, each in [*network.named_parameters(), *network.named_buffers()]:
            is_constant = each.numel() > 1 and bool(torch.all(each == each.flatten()[0]))
            if is_constant and each.is_floating_point() and (each.requires_grad or "running_" in name):
                each.add_(0.1 * torch.rand_like(each))
    return network


def image(side: int = 64) -> tuple[torch.Tensor]:
    return (torch.randn(1, 3, side, side),)


def vision(name: str, side: int = 64, example: tuple[torch.Tensor] | None = None, **options: Any) -> Callable[[], Made]:
    """A network of torchvision by its name there; segmentation and video are named by their folder too."""
    def make() -> Made:
        import torchvision

        folder, _, own = name.rpartition(".")
        models = getattr(torchvision.models, folder) if folder else torchvision.models
        backbone = {"weights_backbone": None} if folder == "segmentation" else {}
        settings = {"weights": None, "num_classes": 10, **backbone}
        return drawn(getattr(models, own)(**settings, **options)), image(side) if example is None else example
    return make


SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
TOKENS = {"input_ids": torch.zeros(1, 12, dtype=torch.int64)}
PIXELS = {"pixel_values": torch.zeros(1, 3, 32, 32)}


def language(
    name: str, example: dict[str, torch.Tensor] | None = None, config: str = "", kind: str = "Model", **options: Any
) -> Callable[[], Made]:
    """NAME + kind of transformers, configured by NAME + "Config" or by what ``config`` names."""
    def make() -> Made:
        import transformers

        settings = getattr(transformers, config or f"{name}Config")(**options)
        found: Any = transformers
        for part in (name + kind).split("."):
            found = getattr(found, part)
        return drawn(found(settings)), example or TOKENS
    return make


def masked() -> dict[str, torch.Tensor]:
    return {**TOKENS, "attention_mask": torch.ones(1, 12, dtype=torch.int64)}


BERT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 32}
DECODER = {**SMALL, "vocab_size": 99, "max_position_embeddings": 32, "num_key_value_heads": 2, "use_cache": False}
VIT = {**SMALL, "image_size": 32, "patch_size": 8}

NETWORKS: dict[str, Callable[[], Made]] = {
    **{name: vision(name) for name in (
        "resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "densenet121", "mobilenet_v2",
        "mobilenet_v3_small", "efficientnet_b0", "squeezenet1_1", "shufflenet_v2_x1_0", "mnasnet1_0",
        "regnet_y_400mf", "vgg11", "alexnet", "convnext_tiny", "swin_t", "swin_v2_t")},
    "googlenet": vision("googlenet", init_weights=False),
    "inception_v3": vision("inception_v3", side=96, init_weights=False, aux_logits=False),
    "vit_b_16": vision("vit_b_16", image_size=64),
    "maxvit_t": vision("maxvit_t", side=224),
    **{name: vision(f"segmentation.{name}") for name in (
        "fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large")},
    "r3d_18": vision("video.r3d_18", example=(torch.zeros(1, 3, 4, 32, 32),)),
    "bert": language("Bert", **BERT),
    "bert_masked": language("Bert", example=masked(), **BERT),
    "distilbert": language("DistilBert", vocab_size=99, dim=64, n_layers=2, n_heads=4, hidden_dim=128),
    "roberta": language("Roberta", **BERT),
    "albert": language("Albert", **BERT, embedding_size=32),
    "electra": language("Electra", **BERT, embedding_size=32),
    "mpnet": language("MPNet", **BERT),
    "deberta_v2": language("DebertaV2", **BERT, relative_attention=True, position_biased_input=False),
    "gpt2": language("GPT2", kind="LMHeadModel", vocab_size=99, n_positions=32, n_embd=64, n_layer=2, n_head=4,
                     use_cache=False),
    "opt": language("OPT", vocab_size=99, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, ffn_dim=128,
                    max_position_embeddings=32, word_embed_proj_dim=64, use_cache=False),
    "gpt_neox": language("GPTNeoX", **{**DECODER, "num_key_value_heads": 4}),
    "llama": language("Llama", kind="ForCausalLM", **DECODER),
    "mistral": language("Mistral", kind="ForCausalLM", **DECODER),
    "qwen2": language("Qwen2", kind="ForCausalLM", **DECODER),
    "gemma": language("Gemma", **DECODER, head_dim=16),
    "t5_encoder": language("T5", kind="EncoderModel", vocab_size=99, d_model=64, d_kv=16, d_ff=128, num_layers=2,
                           num_heads=4),
    "bart": language("Bart", vocab_size=99, d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                     decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, max_position_embeddings=32,
                     use_cache=False),
    "vit": language("ViT", PIXELS, **VIT),
    "deit": language("DeiT", PIXELS, **VIT),
    "dinov2": language("Dinov2", PIXELS, **VIT),
    "beit": language("Beit", PIXELS, **VIT),
    "clip_vision": language("CLIPVision", PIXELS, **VIT),
    "segformer": language("Segformer", PIXELS, hidden_sizes=[16, 32], depths=[1, 1], num_attention_heads=[1, 2],
                          num_encoder_blocks=2, sr_ratios=[2, 1], strides=[4, 2], patch_sizes=[7, 3],
                          mlp_ratios=[2, 2]),
    "whisper_encoder": language(
        "models.whisper.modeling_whisper.WhisperEncoder", {"input_features": torch.zeros(1, 20, 32)}, kind="",
        config="WhisperConfig", num_mel_bins=20, d_model=64, encoder_layers=2, encoder_attention_heads=4,
        encoder_ffn_dim=128, max_source_positions=16),
    "wav2vec2": language(
        "Wav2Vec2", {"input_values": torch.zeros(1, 800)}, **SMALL, conv_dim=(16, 16, 16), conv_stride=(5, 2, 2),
        conv_kernel=(10, 3, 3), num_feat_extract_layers=3, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
        apply_spec_augment=False, layerdrop=0.0),
}


def __getattr__(name: str) -> Callable[[], Made]:
    if name not in NETWORKS:
        raise AttributeError(name)
    return NETWORKS[name]
