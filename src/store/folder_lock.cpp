#include "store/folder_lock.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::store {

namespace {

using namespace std::chrono_literals;

enum class Attempt { locked, busy, missing };

/// Opens and locks the folder in `into`. A folder that was removed meanwhile counts as missing.
SystemResult<Attempt> try_lock(const std::filesystem::path& path, FileDescriptor& into) {
    auto folder = open_folder(path);
    if (!folder && folder.error() == ENOENT) return Attempt::missing;
    if (!folder) return std::unexpected<int>{folder.error()};
    while (::flock(folder->get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return Attempt::busy;
        if (errno != EINTR) return std::unexpected<int>{errno};
    }
    struct stat status{};
    if (::fstat(folder->get(), &status) != 0) return std::unexpected<int>{errno};
    if (status.st_nlink == 0) return Attempt::missing;
    into = std::move(*folder);
    return Attempt::locked;
}

}  // namespace

Error lock_timeout(const std::filesystem::path& path) {
    return Error{
        ErrorCode::unavailable,
        "store.lock_timeout",
        fmt::format("another process keeps the folder {} locked", path.string())
    };
}

Task<std::optional<FolderLock>> lock_folder(
    std::filesystem::path path, bool make, Deadline deadline
) {
    Backoff backoff{BackoffPolicy{.initial = 1ms, .max = 20ms, .factor = 2.0}};
    for (;;) {
        FileDescriptor folder;
        const auto attempt = try_lock(path, folder);
        if (!attempt) throw folder_error("locking", path, attempt.error());
        if (*attempt == Attempt::locked) co_return FolderLock{std::move(folder)};
        if (*attempt == Attempt::missing) {
            if (!make) co_return std::nullopt;
            if (const auto made = make_folders(path); !made)
                throw folder_error("making", path, made.error());
        }
        if (deadline.passed()) {
            sink().count("store_lock_timeouts_total", 1);
            throw lock_timeout(path);
        }
        co_await sleep_until(earliest(deadline, Deadline::in(backoff.next())));
    }
}

}  // namespace stator::store
