#include "store/folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "store/file_name.hpp"

namespace stator::store {

namespace {

constexpr mode_t record_mode = 0644;
constexpr WallTime second = 1'000'000'000;

std::unexpected<int> failure() noexcept { return std::unexpected<int>{errno}; }

FileInfo info_of(const struct stat& status) noexcept {
    return FileInfo{
        .identity = {.device = status.st_dev, .inode = status.st_ino},
        .modified = status.st_mtim.tv_sec * second + status.st_mtim.tv_nsec,
        .size = static_cast<std::size_t>(status.st_size),
        .regular = S_ISREG(status.st_mode),
    };
}

SystemResult<void> write_all(int fd, std::string_view value) noexcept {
    while (!value.empty()) {
        const auto written = ::write(fd, value.data(), value.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failure();
        value.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

/// A complete file under a temporary name; it goes away with this object unless renamed.
class TemporaryFile {
public:
    explicit TemporaryFile(int folder) : folder_{folder}, name_{temporary_name()} {}
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() {
        if (exists_) ::unlinkat(folder_, name_.c_str(), 0);
    }

    SystemResult<void> write(std::string_view value) {
        const FileDescriptor file{::openat(
            folder_,
            name_.c_str(),
            O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
            record_mode
        )};
        if (file.get() < 0) return failure();
        exists_ = true;
        // Whatever the umask is: other users' processes must be able to read the record.
        if (::fchmod(file.get(), record_mode) != 0) return failure();
        return write_all(file.get(), value);
    }
    SystemResult<bool> link_as(const std::string& name) {
        if (::linkat(folder_, name_.c_str(), folder_, name.c_str(), 0) == 0) return true;
        if (errno == EEXIST) return false;
        return failure();
    }
    SystemResult<void> rename_to(const std::string& name) {
        if (::renameat(folder_, name_.c_str(), folder_, name.c_str()) != 0) return failure();
        exists_ = false;
        return {};
    }

private:
    int folder_;
    std::string name_;
    bool exists_ = false;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
}

WallTime wall_now() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * second + now.tv_nsec;
}

SystemResult<void> make_folders(const std::filesystem::path& path) {
    std::error_code code;
    std::filesystem::create_directories(path, code);
    if (code) return std::unexpected<int>{code.value()};
    return {};
}

SystemResult<FileDescriptor> open_folder(const std::filesystem::path& path) {
    FileDescriptor folder{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.get() < 0) return failure();
    return folder;
}

SystemResult<FileIdentity> identify_folder(const std::filesystem::path& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return failure();
    return info_of(status).identity;
}

SystemResult<std::vector<std::string>> list_folder(int folder) {
    // Opened anew: the position of a shared descriptor would be shared, too.
    FileDescriptor again{::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (again.get() < 0) return failure();
    const std::unique_ptr<DIR, decltype([](DIR* items) { ::closedir(items); })> items{
        ::fdopendir(again.get())
    };
    if (!items) return failure();
    again.release();
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const dirent* item = ::readdir(items.get());
        if (item == nullptr) break;
        const std::string_view name{item->d_name};
        if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return failure();
    return names;
}

bool has_change_events(const std::filesystem::path& path) noexcept {
    // These report only what this machine does to them.
    static constexpr std::array<unsigned long, 8> network{
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        CIFS_SUPER_MAGIC,
        SMB2_SUPER_MAGIC,
        CEPH_SUPER_MAGIC,
        V9FS_MAGIC,
        FUSE_SUPER_MAGIC,
        0x0BD00BD0,  // Lustre
    };
    struct statfs status{};
    if (::statfs(path.c_str(), &status) != 0) return true;
    return std::ranges::find(network, static_cast<unsigned long>(status.f_type)) == network.end();
}

SystemResult<std::optional<FileInfo>> inspect_file(int folder, const std::string& name) {
    struct stat status{};
    if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return info_of(status);
    if (errno == ENOENT) return std::nullopt;
    return failure();
}

SystemResult<FileContent> read_file(int folder, const std::string& name, std::size_t limit) {
    // Not blocking: a pipe under that name must not hold the loop.
    const FileDescriptor file{
        ::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    };
    if (file.get() < 0) return failure();
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return failure();
    FileContent content{.info = info_of(status), .value = {}};
    if (!content.info.regular) return std::unexpected<int>{EINVAL};
    if (content.info.size > limit) return std::unexpected<int>{EFBIG};
    std::array<char, 4096> block;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    for (;;) {
        const auto got = ::read(file.get(), block.data(), block.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failure();
        if (got == 0) return content;
        content.value.append(block.data(), static_cast<std::size_t>(got));
        if (content.value.size() > limit) return std::unexpected<int>{EFBIG};
    }
}

SystemResult<bool> publish_file(int folder, const std::string& name, std::string_view value) {
    TemporaryFile file{folder};
    if (const auto written = file.write(value); !written)
        return std::unexpected<int>{written.error()};
    return file.link_as(name);
}

SystemResult<void> replace_file(int folder, const std::string& name, std::string_view value) {
    TemporaryFile file{folder};
    if (const auto written = file.write(value); !written) return written;
    return file.rename_to(name);
}

SystemResult<void> probe_folder(int folder) { return TemporaryFile{folder}.write("probe"); }

SystemResult<bool> remove_file(int folder, const std::string& name) {
    if (::unlinkat(folder, name.c_str(), 0) == 0) return true;
    if (errno == ENOENT) return false;
    return failure();
}

SystemResult<bool> touch_file(const std::filesystem::path& path) {
    if (::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) == 0) return true;
    if (errno == ENOENT) return false;
    return failure();
}

std::string why_unreadable(int number) {
    if (number == EINVAL || number == EISDIR || number == ENXIO) return "it is no regular file";
    if (number == ELOOP) return "it is a symbolic link";
    return std::generic_category().message(number);
}

Error folder_error(std::string_view doing, const std::filesystem::path& path, int number) {
    ErrorCode code = ErrorCode::unavailable;
    if (number == EACCES || number == EPERM || number == EROFS) code = ErrorCode::permission_denied;
    if (number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG || number == EEXIST)
        code = ErrorCode::invalid_request;
    return Error{
        code,
        "store.folder",
        fmt::format("{} {}: {}", doing, path.string(), std::generic_category().message(number))
    };
}

}  // namespace stator::store
