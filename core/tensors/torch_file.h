#pragma once
// Files of torch.save() since PyTorch 1.6: a zip archive with a pickle of nested dicts and the tensors' bytes beside
// it. The pickle is read as data: nothing in it is imported, called or built. What is no tensor is ignored.

#include "core/base/error.h"
#include "core/tensors/tensor_view.h"
#include "core/tensors/zip.h"

namespace spikescope {

// Tensors of nested dicts, lists and tuples are named by their keys and indices with dots between them:
// "state_dict.decoder.conv_in.weight"; a lone tensor has no name. BadInput names what is wrong, and TorchScript
// programs, files of big-endian machines, objects instead of dicts and files without tensors with what to do about
// them.
[[nodiscard]] Result<TensorListing> parseTorch(const Zip& zip, const std::string& fileName);

} // namespace spikescope
