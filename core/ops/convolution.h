// Images as rows of pixels, convolutions as products of patches, and pooling. Activations are
// [B, H, W, C] in the compute dtype: a pixel's channels lie together, so a product of patches with
// a matrix gives the next activation as it is to lie.
#pragma once

#include <cstdint>

#include <moiety/exec.h>

namespace moiety::ops {

/// out [B, H, W, C] = (byte / 255 - 0.5) / 0.5 of image u8 [B, C, H, W].
MOIETY_API void image_rows(Exec&, ConstTensorView image, TensorView out);

/// Patches of `kernel` x `kernel` pixels, stride 1, no padding: out [B * OH * OW, kernel * kernel *
/// C] with OH = H - kernel + 1; columns by line, pixel, channel.
MOIETY_API void unfold(Exec&, int64_t kernel, ConstTensorView x, TensorView out);
/// dx [B, H, W, C] = sum over the patches that a pixel is part of, in a fixed order.
MOIETY_API void unfold_backward(Exec&, int64_t kernel, ConstTensorView dpatches, TensorView dx);

/// out [B, H / 2, W / 2, C] = max(0, largest of 2 x 2 pixels); odd last lines are left out.
MOIETY_API void relu_max_pool(Exec&, ConstTensorView x, TensorView out);
/// dx = dout where x was the largest, the first in a tie, and above 0; else 0.
MOIETY_API void relu_max_pool_backward(Exec&, ConstTensorView x, ConstTensorView dout,
                                       TensorView dx);

}  // namespace moiety::ops
