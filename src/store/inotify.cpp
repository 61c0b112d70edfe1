#include "store/inotify.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace stator::store {

namespace {

// Attribute changes are left out: every touch of every owner would be one.
constexpr std::uint32_t interesting = IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE |
                                      IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

std::optional<FolderEvent::Kind> kind_of(std::uint32_t mask) noexcept {
    if ((mask & IN_Q_OVERFLOW) != 0) return FolderEvent::Kind::overflow;
    if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) != 0)
        return FolderEvent::Kind::lost;
    if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0) return FolderEvent::Kind::removed;
    if ((mask & (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE)) != 0)
        return FolderEvent::Kind::appeared;
    return std::nullopt;
}

void parse(const char* at, std::size_t size, std::vector<FolderEvent>& events) {
    while (size >= sizeof(inotify_event)) {
        inotify_event head{};
        std::memcpy(&head, at, sizeof head);
        const auto length = sizeof head + head.len;
        if (length > size) return;
        if (const auto kind = kind_of(head.mask)) {
            const std::string_view padded{at + sizeof head, head.len};
            events.push_back(FolderEvent{
                .kind = *kind,
                .watch = head.wd,
                .name = std::string{padded.substr(0, padded.find('\0'))},
            });
        }
        at += length;
        size -= length;
    }
}

}  // namespace

std::optional<Inotify> Inotify::make(Loop& loop) {
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) return std::nullopt;
    return Inotify{Descriptor{loop, fd}};
}

SystemResult<int> Inotify::add(const std::filesystem::path& folder) {
    const int watch = ::inotify_add_watch(descriptor_.fd(), folder.c_str(), interesting);
    if (watch < 0) return std::unexpected<int>{errno};
    return watch;
}

void Inotify::remove(int watch) noexcept { ::inotify_rm_watch(descriptor_.fd(), watch); }

std::vector<FolderEvent> Inotify::take() {
    std::vector<FolderEvent> events;
    std::array<char, 16384>
        block;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    const auto got = ::read(descriptor_.fd(), block.data(), block.size());
    if (got > 0) parse(block.data(), static_cast<std::size_t>(got), events);
    return events;
}

}  // namespace stator::store
