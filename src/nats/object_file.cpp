// Files as objects. Every call of the file system is on a thread for calls that block.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/nats/object_store.hpp"

namespace stator::nats {

namespace {

using std::filesystem::path;

Error file_error(std::string_view doing, const path& file, int number) {
    const auto code = number == ENOENT                      ? ErrorCode::not_found
                      : number == EACCES || number == EPERM ? ErrorCode::permission_denied
                                                            : ErrorCode::unavailable;
    return Error{
        code,
        "nats.object_file",
        fmt::format(
            "cannot {} {}: {}", doing, file.string(), std::generic_category().message(number)
        )
    }
        .with_retryable(false);
}

class Descriptor {
public:
    explicit Descriptor(int fd) noexcept : fd_{fd} {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

// ---- reading. All of these block.

std::shared_ptr<Descriptor> open_to_read(const path& file) {
    // What is no plain file would not end, or have another end each time.
    auto opened =
        std::make_shared<Descriptor>(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (opened->get() < 0) throw file_error("read", file, errno);
    struct stat about{};
    if (::fstat(opened->get(), &about) != 0) throw file_error("read", file, errno);
    if (S_ISREG(about.st_mode)) return opened;
    throw Error{
        ErrorCode::invalid_request,
        "nats.object_file",
        fmt::format("{} is no plain file", file.string())
    };
}

Bytes read_at(const Descriptor& from, const path& file, std::uint64_t offset, std::size_t size) {
    auto* const block = Buffer::allocate(size);
    auto whole = Bytes::adopt(block, size);
    std::size_t got = 0;
    while (got < size) {
        const auto count =
            ::pread(from.get(), block->data() + got, size - got, static_cast<off_t>(offset + got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw file_error("read", file, errno);
        if (count == 0) break;
        got += static_cast<std::size_t>(count);
    }
    return whole.slice(0, got);
}

Task<Bytes> piece_of(
    BlockingPool* pool,
    std::shared_ptr<Descriptor> from,
    path file,
    std::uint64_t offset,
    std::size_t size
) {
    co_return co_await offload(*pool, [&] { return read_at(*from, file, offset, size); });
}

Task<ObjectInfo> put_opened(ObjectStore store, BlockingPool* pool, std::string name, path file) {
    auto opened = co_await offload(*pool, [&] { return open_to_read(file); });
    co_return co_await store.put_from(
        std::move(name),
        [pool, opened, file](std::uint64_t offset, std::size_t size) {
            return piece_of(pool, opened, file, offset, size);
        }
    );
}

// ---- writing

/// A file that has its name only once it is whole; gone if it never is. All of it blocks.
class PartialFile {
public:
    explicit PartialFile(path target)
        : target_{std::move(target)},
          part_{target_.parent_path() / fmt::format(".stator-{:016x}.part", thread_random()())} {}
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    void write(std::uint64_t offset, const Bytes& piece) {
        if (!file_) open();
        for (std::size_t done = 0; done < piece.size();) {
            const auto count = ::pwrite(
                file_->get(),
                piece.data() + done,
                piece.size() - done,
                static_cast<off_t>(offset + done)
            );
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) throw file_error("write", target_, errno);
            done += static_cast<std::size_t>(count);
        }
    }

    /// `size`: an earlier attempt may have written more.
    void finish(std::uint64_t size) {
        const bool whole = ::ftruncate(file_->get(), static_cast<off_t>(size)) == 0 &&
                           ::fdatasync(file_->get()) == 0 &&
                           ::rename(part_.c_str(), target_.c_str()) == 0;
        if (!whole) throw file_error("write", target_, errno);
        file_.reset();
    }
    void discard() noexcept {
        if (!file_) return;
        file_.reset();
        ::unlink(part_.c_str());
    }

private:
    void open() {
        constexpr mode_t everybody = 0666;  // the process's umask says who
        auto opened = std::make_unique<Descriptor>(
            ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, everybody)
        );
        if (opened->get() < 0) throw file_error("write", target_, errno);
        file_ = std::move(opened);
    }

    const path target_;
    const path part_;
    std::unique_ptr<Descriptor> file_{};
};

Task<> write_piece(BlockingPool* pool, PartialFile* into, std::uint64_t offset, Bytes piece) {
    co_await offload(*pool, [&] { into->write(offset, piece); });
}

Task<ObjectInfo> get_whole(
    ObjectStore store, BlockingPool* pool, std::string name, PartialFile* into
) {
    auto info = co_await store.get_to(
        std::move(name),
        [pool, into](const ObjectInfo*, std::uint64_t offset, Bytes piece) {
            return write_piece(pool, into, offset, std::move(piece));
        }
    );
    co_await offload(*pool, [&] { into->finish(info.size); });
    co_return info;
}

Task<ObjectInfo> get_into(ObjectStore store, BlockingPool* pool, std::string name, path file) {
    PartialFile partial{std::move(file)};
    auto got = co_await as_result(get_whole(std::move(store), pool, std::move(name), &partial));
    if (got) co_return std::move(*got);
    co_await offload(*pool, [&] { partial.discard(); });
    throw got.error();
}

}  // namespace

Task<ObjectInfo> ObjectStore::put_file(BlockingPool& pool, std::string name, path file) const {
    return put_opened(*this, &pool, std::move(name), std::move(file));
}

Task<ObjectInfo> ObjectStore::get_file(BlockingPool& pool, std::string name, path file) const {
    return get_into(*this, &pool, std::move(name), std::move(file));
}

}  // namespace stator::nats
