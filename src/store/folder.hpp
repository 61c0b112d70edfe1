// The system calls of the file store: short, on one folder, without waiting.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::store {

/// A result, or the errno.
template <class T>
using SystemResult = std::expected<T, int>;

/// Owns a file descriptor.
class FileDescriptor {
public:
    FileDescriptor() noexcept = default;
    explicit FileDescriptor(int fd) noexcept : fd_{fd} {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_{other.release()} {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~FileDescriptor();
    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

/// Nanoseconds since 1970, as the times of files are.
using WallTime = std::int64_t;
WallTime wall_now() noexcept;

/// Which file a name means, so that another one under the same name is told apart.
struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct FileInfo {
    FileIdentity identity;
    WallTime modified = 0;
    std::size_t size = 0;
    bool regular = false;
};

SystemResult<void> make_folders(const std::filesystem::path& path);
SystemResult<FileDescriptor> open_folder(const std::filesystem::path& path);
SystemResult<FileIdentity> identify_folder(const std::filesystem::path& path);
/// Whether the file system tells about other machines' changes. Unknown ones are trusted.
bool has_change_events(const std::filesystem::path& path) noexcept;

// All below work in the open folder `folder`.

/// Every name but "." and "..".
SystemResult<std::vector<std::string>> list_folder(int folder);
/// Whether files can be written there: writes one and removes it.
SystemResult<void> probe_folder(int folder);

/// Nothing: there is no such file. Symbolic links are not followed.
SystemResult<std::optional<FileInfo>> inspect_file(int folder, const std::string& name);

struct FileContent {
    FileInfo info;
    std::string value;
};
/// Regular files only (ELOOP, EISDIR, EINVAL otherwise), of at most `limit` bytes (EFBIG).
SystemResult<FileContent> read_file(int folder, const std::string& name, std::size_t limit);

/// Writes a whole new file under that name; false if the name is taken. Readers see all or nothing.
SystemResult<bool> publish_file(int folder, const std::string& name, std::string_view value);
/// The same, taking the name away from whatever has it.
SystemResult<void> replace_file(int folder, const std::string& name, std::string_view value);
/// False: there was no such file.
SystemResult<bool> remove_file(int folder, const std::string& name);
/// Makes it as if just written. False: there is no such file.
SystemResult<bool> touch_file(const std::filesystem::path& path);

/// What a failed system call means to the caller: permission_denied, invalid_request (a wrong path)
/// or unavailable.
Error folder_error(std::string_view doing, const std::filesystem::path& path, int number);
/// Why `read_file` refused, in words.
std::string why_unreadable(int number);

}  // namespace stator::store
