// A folder of this process's own.
#pragma once

#include <filesystem>

namespace stator::demo {

/// Made under the temporary directory, readable for this user only; removed with everything in it
/// at the end of its owner. Throws Error{internal} "demo.folder".
class PrivateFolder {
public:
    PrivateFolder();
    PrivateFolder(const PrivateFolder&) = delete;
    PrivateFolder& operator=(const PrivateFolder&) = delete;
    ~PrivateFolder();
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace stator::demo
