#pragma once
// NumPy's .npy files, versions 1 to 3, and archives of them (.npz). Floating-point numbers of either byte order, in C
// or Fortran order, can be read; bfloat16 is what ml_dtypes saves as "<V2".

#include "core/base/error.h"
#include "core/tensors/tensor_view.h"
#include "core/tensors/zip.h"

namespace spikescope {

// The array, which has no name; its offset counts from the file's start. BadInput for arrays of other kinds, named; for
// more than 2^32 elements; and when the file's length differs from what its header says, in either direction.
[[nodiscard]] Result<TensorView> parseNpy(std::span<const std::byte> bytes, const std::string& fileName);

// The arrays by their names in the archive, without ".npy". Arrays of other kinds are there, too, and have no format
// that can be read. What is compressed is unpacked, at most 1 GiB in all.
[[nodiscard]] Result<TensorListing> parseNpz(const Zip& zip, const std::string& fileName);

// Whether the file begins as a .npy file does.
bool looksLikeNpy(std::span<const std::byte> bytes);
// Whether the archive has entries and all of them are .npy files by their names.
bool looksLikeNpz(const Zip& zip);

} // namespace spikescope
