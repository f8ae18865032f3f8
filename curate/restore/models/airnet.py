"""AirNet: an encoder that learns to tell degradations apart, and a restorer that is guided by what it sees.

Li et al., "All-In-One Image Restoration for Unknown Corruption", 2022: 8,930,313 parameters, of which 7,610,377 are
trained; the rest, a second encoder, follow the first. Written from the paper, and where that is silent, so that these
counts come out; docs/decisions tells what was taken.

The encoder is trained by contrast: two crops of one image have the same degradation, crops of other images mostly
another one. The second crop goes through an encoder that is a running average of the first, and is remembered for the
next batches (momentum contrast, He et al. 2020). In use there is neither crop nor memory: a picture alone is enough.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

__all__ = ["AirNet", "DeformableConvolution"]

_SLOPE = 0.1
_FEATURES = 256


class AirNet(nn.Module):
    """The whole network.

    Args:
        dim: channels of the restorer and of the map that guides it.
        groups: of blocks, each with a convolution and a skip.
        blocks: of each group.
        queue: crops that are remembered, to be told from.
        momentum: of the encoder that sees the second crops.
        temperature: of the contrast.
    """

    views = 2
    """Crops of each image that training wants, with one degradation."""
    multiple = 1
    pixels_at_once = 2**18  # the deformable convolutions alone take 2 KB each
    queue_FK: Tensor
    oldest: Tensor

    def __init__(
        self,
        dim: int = 64,
        groups: int = 5,
        blocks: int = 5,
        queue: int = 1280,
        momentum: float = 0.999,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if queue < 1:
            raise ValueError(f"queue is 1 crop or more, not {queue}")
        self.momentum, self.temperature = momentum, temperature
        self.encoder = Encoder(dim)
        self.key_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.register_buffer("queue_FK", F.normalize(torch.randn(_FEATURES, queue), dim=0))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.head = nn.Conv2d(3, dim, 3, padding=1)
        self.groups = nn.ModuleList(Group(dim, blocks) for _ in range(groups))
        self.body = nn.Conv2d(dim, dim, 3, padding=1)
        self.tail = nn.Conv2d(dim, 3, 3, padding=1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self._restore(image_B3HW, self.encoder(image_B3HW))

    def forward_with_aux(
        self, image_B3HW: Tensor, other_B3HW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The restored images, and how badly their degradations are told apart (0 in evaluation, or without others).

        Args:
            image_B3HW: degraded crops.
            other_B3HW: second crops of the same images, with the same degradations.
        """
        guide_BCHW = self.encoder(image_B3HW)
        restored_B3HW = self._restore(image_B3HW, guide_BCHW)
        if other_B3HW is None or not self.training:
            return restored_B3HW, image_B3HW.new_zeros(())
        return restored_B3HW, self._contrast(guide_BCHW, other_B3HW)

    def aux_loss(self, image_B3HW: Tensor, other_B3HW: Tensor) -> Tensor:
        """The second of `forward_with_aux` alone, at a twentieth of the work: what the encoder is warmed up with."""
        return self._contrast(self.encoder(image_B3HW), other_B3HW)

    def _restore(self, image_B3HW: Tensor, guide_BCHW: Tensor) -> Tensor:
        shallow_BCHW = self.head(image_B3HW)
        x_BCHW = shallow_BCHW
        for group in self.groups:
            x_BCHW = group(x_BCHW, guide_BCHW)
        return self.tail(self.body(x_BCHW) + shallow_BCHW)

    def _contrast(self, guide_BCHW: Tensor, other_B3HW: Tensor) -> Tensor:
        """Cross-entropy of finding the second crop of the same image among it and those remembered."""
        query_BF = F.normalize(self.encoder.describe(guide_BCHW).float(), dim=1)
        with torch.no_grad():
            for key, query in zip(
                self.key_encoder.parameters(), self.encoder.parameters(), strict=True
            ):
                key.lerp_(query, 1 - self.momentum)
            key_BF = F.normalize(
                self.key_encoder.describe(self.key_encoder(other_B3HW)).float(), dim=1
            )
        known_FK = (
            self.queue_FK.clone()
        )  # it is about to change, and the gradient needs it as it was
        logits_Bn = torch.cat(
            [(query_BF * key_BF).sum(1, keepdim=True), query_BF @ known_FK], dim=1
        )
        self._remember(key_BF)
        first_B = torch.zeros(len(query_BF), dtype=torch.long, device=query_BF.device)
        return F.cross_entropy(logits_Bn / self.temperature, first_B)

    @torch.no_grad()
    def _remember(self, key_BF: Tensor) -> None:
        """Put crops in the place of the oldest."""
        size = self.queue_FK.shape[1]
        key_BF = key_BF[-size:]
        place_B = (self.oldest + torch.arange(len(key_BF), device=key_BF.device)) % size
        self.queue_FK[:, place_B] = key_BF.mT.to(self.queue_FK.dtype)
        self.oldest.copy_((self.oldest + len(key_BF)) % size)


class Encoder(nn.Module):
    """A map of the degradation at full size, which guides the restorer; and a description of it, for the contrast."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = ResidualBlock(3, dim, stride=1)
        self.deeper = nn.Sequential(
            ResidualBlock(dim, 2 * dim, stride=2), ResidualBlock(2 * dim, _FEATURES, stride=2)
        )
        self.project = nn.Sequential(
            nn.Linear(_FEATURES, _FEATURES), nn.LeakyReLU(_SLOPE), nn.Linear(_FEATURES, _FEATURES)
        )

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """The map: (B, 3, H, W) -> (B, C, H, W)."""
        return self.first(image_B3HW)

    def describe(self, guide_BCHW: Tensor) -> Tensor:
        """What the map says of the whole image: (B, C, H, W) -> (B, 256), not normalised."""
        return self.project(self.deeper(guide_BCHW).mean((2, 3)))


class ResidualBlock(nn.Module):
    """Two convolutions beside one of 1x1, all with batch normalisation."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.leaky_relu(self.body(x_BCHW) + self.skip(x_BCHW), _SLOPE)


class Group(nn.Module):
    """Blocks, then a convolution, added to the input."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim) for _ in range(blocks))
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        y_BCHW = x_BCHW
        for block in self.blocks:
            y_BCHW = block(y_BCHW, guide_BCHW)
        return x_BCHW + self.conv(y_BCHW)


class Block(nn.Module):
    """Guided layer and convolution, twice, added to the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.guided1, self.guided2 = GuidedLayer(dim), GuidedLayer(dim)
        self.conv1, self.conv2 = (nn.Conv2d(dim, dim, 3, padding=1) for _ in range(2))

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        y_BCHW = F.leaky_relu(self.guided1(x_BCHW, guide_BCHW), _SLOPE)
        y_BCHW = F.leaky_relu(self.conv1(y_BCHW), _SLOPE)
        y_BCHW = F.leaky_relu(self.guided2(y_BCHW, guide_BCHW), _SLOPE)
        return x_BCHW + self.conv2(y_BCHW)


class GuidedLayer(nn.Module):
    """x + a convolution whose taps the guide moves and weighs + x scaled and shifted by the guide, pixel by pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = DeformableConvolution(dim)
        self.scale, self.shift = (
            nn.Sequential(
                nn.Conv2d(dim, dim, 1, bias=False),
                nn.LeakyReLU(_SLOPE),
                nn.Conv2d(dim, dim, 1, bias=False),
            )
            for _ in range(2)
        )

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        moved_BCHW = self.convolution(x_BCHW, guide_BCHW)
        return x_BCHW + moved_BCHW + x_BCHW * self.scale(guide_BCHW) + self.shift(guide_BCHW)


class DeformableConvolution(nn.Module):
    """A 3x3 convolution whose nine taps move and count by features and guide (Zhu et al. 2019).

    Before training it is a plain one of half the strength.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.taps = nn.Conv2d(2 * dim, 27, 3, padding=1)
        nn.init.zeros_(self.taps.weight)
        assert self.taps.bias is not None
        nn.init.zeros_(self.taps.bias)

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        offset_BtHW, strength_BtHW = self.taps(torch.cat([x_BCHW, guide_BCHW], dim=1)).split(
            [18, 9], dim=1
        )
        with torch.autocast(
            x_BCHW.device.type, enabled=False
        ):  # it has no kernel in half precision everywhere
            moved_BCHW = deform_conv2d(
                x_BCHW.float(),
                offset_BtHW.float(),
                self.convolution.weight,
                padding=1,
                mask=strength_BtHW.float().sigmoid(),
            )
        return moved_BCHW.to(x_BCHW.dtype)
