"""AirNet: a restorer guided by an encoder that learns to distinguish degradations.

Li et al., "All-In-One Image Restoration for Unknown Corruption", 2022: 8,930,313 parameters.
7,610,377 of them are trained; the others, a second encoder, follow the first. Written from the
paper; where it is silent, the choices give these counts (docs/decisions/0023).

The encoder is trained by contrast: two crops of one image have the same degradation, crops of
other images mostly another one. The second crop goes through a moving average of the encoder and
into a queue for the next batches (momentum contrast, He et al. 2020). Inference uses neither.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

__all__ = ["AirNet", "DeformableConvolution"]

_SLOPE = 0.1
_DIM = 256
"""Size of the vectors that the contrastive loss compares."""
_activation = partial(nn.LeakyReLU, _SLOPE)


class AirNet(nn.Module):
    """The whole network.

    Args:
        dim: channels of the restorer and of the guide map.
        groups: number of groups, each with a final convolution and a skip.
        blocks: blocks per group.
        queue: number of embeddings of earlier crops to contrast with.
        momentum: of the moving average that encodes the second crops.
        temperature: of the contrastive loss.
    """

    source = "Li et al. 2022, CVPR, All-In-One Image Restoration for Unknown Corruption"
    views = 2
    multiple = 1
    pixels_at_once = 2**18  # the deformable convolutions alone take 2 KB a pixel
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
        self.register_buffer("queue_FK", F.normalize(torch.randn(_DIM, queue), dim=0))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.head = nn.Conv2d(3, dim, 3, padding=1)
        self.groups = nn.ModuleList(GuidedGroup(dim, blocks) for _ in range(groups))
        self.body = nn.Conv2d(dim, dim, 3, padding=1)
        self.tail = nn.Conv2d(dim, 3, 3, padding=1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self._restore(image_B3HW, self.encoder(image_B3HW))

    def forward_with_aux(
        self, image_B3HW: Tensor, other_B3HW: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the restored images and the contrastive loss, 0 in evaluation or without crops.

        Args:
            image_B3HW: degraded crops.
            other_B3HW: second crops of the same images, with the same degradations.
        """
        guide_BCHW = self.encoder(image_B3HW)
        restored_B3HW = self._restore(image_B3HW, guide_BCHW)
        if other_B3HW is None or not self.training:
            return restored_B3HW, image_B3HW.new_zeros(())
        return restored_B3HW, self._contrastive_loss(guide_BCHW, other_B3HW)

    def aux_loss(self, image_B3HW: Tensor, other_B3HW: Tensor) -> Tensor:
        """Return the contrastive loss alone, to warm the encoder up at a twentieth of the work."""
        return self._contrastive_loss(self.encoder(image_B3HW), other_B3HW)

    def _restore(self, image_B3HW: Tensor, guide_BCHW: Tensor) -> Tensor:
        x_BCHW = shallow_BCHW = self.head(image_B3HW)
        for group in self.groups:
            x_BCHW = group(x_BCHW, guide_BCHW)
        return self.tail(self.body(x_BCHW) + shallow_BCHW)

    def _contrastive_loss(self, guide_BCHW: Tensor, other_B3HW: Tensor) -> Tensor:
        """Return the cross-entropy of picking an image's second crop among it and the queue."""
        encoder, key_encoder = self.encoder, self.key_encoder
        query_BF = F.normalize(encoder.embed(guide_BCHW).float(), dim=1)
        with torch.no_grad():
            # the second encoder follows the first by a moving average
            for key, query in zip(key_encoder.parameters(), encoder.parameters(), strict=True):
                key.lerp_(query, 1 - self.momentum)
            key_BF = F.normalize(key_encoder.embed(key_encoder(other_B3HW)).float(), dim=1)
        # a copy, because the queue changes below and the gradient needs its old contents
        known_FK = self.queue_FK.clone()
        # similarities to the right crop (column 0) and to the K crops in the queue
        right_B1 = (query_BF * key_BF).sum(1, keepdim=True)
        logits_Bn = torch.cat([right_B1, query_BF @ known_FK], dim=1)
        self._enqueue(key_BF)
        first_B = torch.zeros(len(query_BF), dtype=torch.long, device=query_BF.device)
        return F.cross_entropy(logits_Bn / self.temperature, first_B)

    @torch.no_grad()
    def _enqueue(self, key_BF: Tensor) -> None:
        """Overwrite the oldest embeddings of the ring buffer with these."""
        size = self.queue_FK.shape[1]
        key_BF = key_BF[-size:]  # a batch may be larger than the queue
        place_B = (self.oldest + torch.arange(len(key_BF), device=key_BF.device)) % size
        self.queue_FK[:, place_B] = key_BF.mT.to(self.queue_FK.dtype)
        self.oldest.copy_((self.oldest + len(key_BF)) % size)


class Encoder(nn.Module):
    """Encoder of degradations: a map at full size for the restorer, a vector for the contrast."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = ResidualBlock(3, dim, stride=1)
        self.deeper = nn.Sequential(ResidualBlock(dim, 2 * dim, 2), ResidualBlock(2 * dim, _DIM, 2))
        self.project = nn.Sequential(nn.Linear(_DIM, _DIM), _activation(), nn.Linear(_DIM, _DIM))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Return the guide map: (B, 3, H, W) -> (B, C, H, W)."""
        return self.first(image_B3HW)

    def embed(self, guide_BCHW: Tensor) -> Tensor:
        """Return one vector for each guide map, not normalised: (B, C, H, W) -> (B, 256)."""
        return self.project(self.deeper(guide_BCHW).mean((2, 3)))


class ResidualBlock(nn.Module):
    """Two convolutions beside one of 1x1, all with batch normalisation."""

    def __init__(self, in_dim: int, dim: int, stride: int) -> None:
        super().__init__()
        conv, norm = partial(nn.Conv2d, bias=False), nn.BatchNorm2d
        first, second = conv(in_dim, dim, 3, stride, padding=1), conv(dim, dim, 3, padding=1)
        self.body = nn.Sequential(first, norm(dim), _activation(), second, norm(dim))
        self.skip = nn.Sequential(conv(in_dim, dim, 1, stride), norm(dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.leaky_relu(self.body(x_BCHW) + self.skip(x_BCHW), _SLOPE)


class GuidedGroup(nn.Module):
    """Guided blocks, then a convolution, added to the input."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(GuidedBlock(dim) for _ in range(blocks))
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        y_BCHW = x_BCHW
        for block in self.blocks:
            y_BCHW = block(y_BCHW, guide_BCHW)
        return x_BCHW + self.conv(y_BCHW)


class GuidedBlock(nn.Module):
    """Guided layer and convolution, twice, added to the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.guided1, self.guided2 = GuidedLayer(dim), GuidedLayer(dim)
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        # no activation after the last convolution
        y_BCHW = F.leaky_relu(self.guided1(x_BCHW, guide_BCHW), _SLOPE)
        y_BCHW = F.leaky_relu(self.conv1(y_BCHW), _SLOPE)
        y_BCHW = F.leaky_relu(self.guided2(y_BCHW, guide_BCHW), _SLOPE)
        return x_BCHW + self.conv2(y_BCHW)


class GuidedLayer(nn.Module):
    """x + convolution(x, guide) + x * scale(guide) + shift(guide), pixel by pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = DeformableConvolution(dim)
        pointwise = partial(nn.Conv2d, dim, dim, 1, bias=False)
        self.scale = nn.Sequential(pointwise(), _activation(), pointwise())
        self.shift = nn.Sequential(pointwise(), _activation(), pointwise())

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        moved_BCHW = self.convolution(x_BCHW, guide_BCHW)
        return x_BCHW + moved_BCHW + x_BCHW * self.scale(guide_BCHW) + self.shift(guide_BCHW)


class DeformableConvolution(nn.Module):
    """A 3x3 convolution; features and guide move and weigh its nine taps (Zhu et al. 2019).

    Before training it is a plain convolution of half the strength.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.taps = nn.Conv2d(2 * dim, 27, 3, padding=1)
        # no offsets, and weights of sigmoid(0) = 1/2
        for parameter in self.taps.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        # for each pixel 9 offsets (dy, dx), then the logits of 9 weights
        taps_BtHW = self.taps(torch.cat([x_BCHW, guide_BCHW], dim=1)).float()
        offset_BtHW, weight_BtHW = taps_BtHW.split([18, 9], dim=1)
        kernel, mask_BtHW = self.convolution.weight, weight_BtHW.sigmoid()
        # torchvision has no half-precision kernel on some devices
        with torch.autocast(x_BCHW.device.type, enabled=False):
            y_BCHW = deform_conv2d(x_BCHW.float(), offset_BtHW, kernel, padding=1, mask=mask_BtHW)
        return y_BCHW.to(x_BCHW.dtype)
