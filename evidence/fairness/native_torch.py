"""PyTorch, as torchvision and the tutorials write it: nn.Sequential, residual modules, nn.LSTM, channels last."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


def alexnet() -> nn.Module:
    def relu() -> nn.Module:
        return nn.ReLU(inplace=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), relu(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), relu(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), relu(),
        nn.Conv2d(384, 256, 3, padding=1), relu(),
        nn.Conv2d(256, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(9216, 4096), relu(),
        nn.Dropout(0.5), nn.Linear(4096, 4096), relu(),
        nn.Linear(4096, 1000),
    )


def mnist_cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        ]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(576, 128), nn.ReLU(inplace=True), nn.Dropout(0.25), nn.Linear(128, 10)
    )


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Block(nn.Module):
    """Basic (two 3 x 3) or bottleneck (1 x 1, 3 x 3, 1 x 1) residual block."""

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool):
        super().__init__()
        outputs = width * (4 if bottleneck else 1)
        if bottleneck:
            self.branch = nn.Sequential(
                conv_norm(inputs, width, 1), nn.ReLU(inplace=True), conv_norm(width, width, 3, stride),
                nn.ReLU(inplace=True), conv_norm(width, outputs, 1),
            )
        else:
            self.branch = nn.Sequential(
                conv_norm(inputs, width, 3, stride), nn.ReLU(inplace=True), conv_norm(width, outputs, 3)
            )
        changes = stride != 1 or inputs != outputs
        self.shortcut = conv_norm(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.branch(x)
        out += self.shortcut(x)
        return F.relu(out, inplace=True)


def resnet(blocks: tuple[int, ...], *, bottleneck: bool) -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            width = 64 << stage
            layers.append(Block(channels, width, 2 if stage and not block else 1, bottleneck=bottleneck))
            channels = width * (4 if bottleneck else 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class CharacterModel(nn.Module):
    def __init__(self, vocabulary: int = 128, features: int = 128, hidden: int = 512):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, features)
        self.lstm = nn.LSTM(features, hidden, num_layers=2, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.characters = nn.Linear(hidden, vocabulary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.characters(self.dropout(self.lstm(self.embedding(x))[0]))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mnist_cnn": mnist_cnn,
    "alexnet_one_tower": alexnet,
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "lstm": CharacterModel,
}


def programs(model: str, mode: str, x, y) -> dict[str, Callable[[], object]]:
    network = NETWORKS[model]().to(memory_format=torch.channels_last).train(mode == "training")
    inputs, targets = torch.tensor(x), torch.tensor(y)
    if inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    if mode == "inference":
        def infer() -> None:
            with torch.inference_mode():
                network(inputs)

        return {"nn.Module, channels_last": infer}
    optimizer: torch.optim.Optimizer
    if model in ("lstm", "mnist_cnn"):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def train() -> None:
        optimizer.zero_grad()
        output = network(inputs)
        F.cross_entropy(output.flatten(0, -2), targets.flatten()).backward()
        optimizer.step()

    return {"nn.Module, channels_last": train}
