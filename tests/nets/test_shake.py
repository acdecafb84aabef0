"""The kernel of a blur: found in photographs that SciPy has blurred, and undone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve
from scipy.sparse.linalg import LinearOperator, cg
from skimage import data

from aio.nets.shake import REACH, find_kernel, unshaken
from golden.fill import golden_input

HOOK = [(-2, -1, 0.4), (-1, 0, 0.1), (0, 1, 0.1), (1, 1, 0.2), (2, 1, 0.1), (5, 0, 0.1)]  # its centre in the middle


def kernel(path=HOOK):
    """Of (down, right, share)."""
    found = torch.zeros(1, 1, 2 * REACH + 1, 2 * REACH + 1)
    for down, right, share in path:
        found[0, 0, REACH + down, REACH + right] = share
    return found


def photo(side):
    gray = data.camera()[64 : 64 + side, 128 : 128 + side]
    return torch.from_numpy(gray.astype(np.float32))[None, None] / 255


def blurred(light, by):
    channels = [convolve(channel, by[0, 0].numpy(), mode="mirror") for channel in light[0].numpy()]
    return torch.from_numpy(np.stack(channels))[None]


def psnr(x, y):
    return float(-10 * torch.log10((x - y).square().mean()))


def likeness(one, other):
    """The cosine between two kernels where they fit best."""
    product = torch.fft.rfft2(F.pad(one, (0, 40, 0, 40))).conj() * torch.fft.rfft2(F.pad(other, (0, 40, 0, 40)))
    return float(torch.fft.irfft2(product, s=(73, 73)).max() / (one.norm() * other.norm()))


def test_the_kernel_of_a_blurred_photograph_is_found():
    sharp = photo(256)
    soft = blurred(sharp, kernel())
    found = find_kernel(soft)
    assert likeness(found, kernel()) > likeness(found.flip(2, 3), kernel()) + 0.1
    (restored,) = unshaken(soft, found, (1.0,))
    assert psnr(restored, sharp) > psnr(soft, sharp) + 5


def test_light_of_twice_the_strength_has_the_same_kernel():
    soft = blurred(photo(128), kernel())
    torch.testing.assert_close(find_kernel(2 * soft), find_kernel(soft), atol=1e-3, rtol=0)


def test_each_image_of_a_batch_has_its_own_kernel():
    images = torch.cat([photo(128), blurred(photo(128), kernel())])
    apart = torch.cat([find_kernel(image[None]) for image in images])
    torch.testing.assert_close(find_kernel(images), apart, atol=1e-3, rtol=0)
    assert likeness(*apart[:, None]) < 0.9


@pytest.mark.parametrize(
    "light", [torch.zeros(2, 1, 128, 136), golden_input((2, 1, 128, 128)), golden_input((1, 1, 8, 300))]
)
def test_a_kernel_is_of_sum_one_for_any_image(light):
    found = find_kernel(light)
    assert found.shape == (len(light), 1, 33, 33)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), torch.ones(len(light)))


def test_of_too_few_pixels_nothing_is_found():
    point = find_kernel(blurred(photo(192), kernel())[..., :127])
    assert point[0, 0, REACH, REACH] == 1
    assert point.sum() == 1


def test_of_a_large_image_the_middle_is_looked_at():
    large = F.pad(blurred(photo(192), kernel()), (160, 160, 176, 160), value=0.5)
    beyond = large.clone()
    beyond[..., :8, :] = 0
    assert large.shape[-2:] == (528, 512)
    torch.testing.assert_close(find_kernel(beyond), find_kernel(large))


def test_the_true_kernel_is_undone_and_its_mirror_image_is_not():
    sharp = photo(128)
    soft = blurred(sharp, kernel())
    (right,), (wrong,) = (unshaken(soft, by, (0.1,)) for by in (kernel(), kernel().flip(2, 3)))
    assert psnr(right, sharp) > psnr(soft, sharp) + 5
    assert psnr(wrong, sharp) < psnr(soft, sharp)


def test_no_blur_and_a_high_price_leave_an_image_as_it_was():
    image = golden_input((1, 3, 24, 40))
    torch.testing.assert_close(unshaken(image, kernel([(0, 0, 1.0)]), (0.1,))[0], image, atol=1e-5, rtol=0)
    torch.testing.assert_close(unshaken(image, kernel(), (1e8,))[0], image, atol=1e-4, rtol=0)


def test_a_price_is_what_it_says():
    """Against conjugate gradients on a torus, which the mirrored margins of 17 pixels are: 96 are three periods."""
    image, price = golden_input((1, 1, 17, 17)), 0.5
    (result,) = unshaken(image, kernel([(0, -1, 0.2), (0, 0, 0.6), (0, 1, 0.2)]), (price,))
    torus = np.pad(image[0, 0].double().numpy(), (32, 47), mode="reflect")

    def blur(y):  # symmetric, and so its own transpose
        return 0.6 * y + 0.2 * np.roll(y, 1, axis=1) + 0.2 * np.roll(y, -1, axis=1)

    def slopes_squared(y):
        return 4 * y - sum(np.roll(y, step, axis) for step in (-1, 1) for axis in (0, 1))

    def normal(flat):
        y = flat.reshape(torus.shape)
        return (blur(blur(y)) + price * (slopes_squared(y) / (4 * np.pi**2) + 1e-3 * y)).ravel()

    operator = LinearOperator((torus.size, torus.size), matvec=normal)
    change, failed = cg(operator, blur(torus - blur(torus)).ravel(), rtol=1e-8)
    assert not failed
    expected = (torus + change.reshape(torus.shape))[32:49, 32:49]
    np.testing.assert_allclose(result[0, 0], expected, atol=1e-4)
