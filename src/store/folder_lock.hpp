// The lock that all processes take around changes of a folder.
#pragma once

#include <filesystem>
#include <optional>

#include "stator/base/deadline.hpp"
#include "stator/runtime/task.hpp"
#include "store/folder.hpp"

namespace stator::store {

/// An exclusive flock on the folder itself; given back when this dies. Files are named relative to
/// `folder()`, so that they are changed in the folder that is locked.
class FolderLock {
public:
    explicit FolderLock(FileDescriptor folder) noexcept : folder_{std::move(folder)} {}
    int folder() const noexcept { return folder_.get(); }

private:
    FileDescriptor folder_;
};

/// Takes the lock, trying again with back-off while another process holds it. With `make` a missing
/// folder is made; otherwise the answer is nothing. Errors: unavailable "store.lock_timeout" at
/// `deadline`, folder_error's. Cancel safety: throws `cancelled`, holds nothing.
Task<std::optional<FolderLock>> lock_folder(
    std::filesystem::path path, bool make, Deadline deadline
);

Error lock_timeout(const std::filesystem::path& path);

}  // namespace stator::store
