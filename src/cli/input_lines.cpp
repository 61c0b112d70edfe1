#include "cli/input_lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/runtime/readiness.hpp"

namespace stator::cli {

namespace {

constexpr std::size_t block_size = 64U << 10U;

Error input_error(const std::string& name, int number) {
    return Error{
        ErrorCode::invalid_request,
        "cli.input",
        fmt::format("cannot read {}: {}", name, std::system_category().message(number))
    };
}

/// An open file, pipe or terminal, read without ever blocking a loop. Loop-affine.
class InputFile {
public:
    explicit InputFile(std::string name) : name_{name == "-" ? "stdin" : name} {
        fd_ = name == "-" ? STDIN_FILENO : ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd_ < 0) throw input_error(name_, errno);
    }
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;
    ~InputFile() {
        if (fd_ != STDIN_FILENO) ::close(fd_);
    }

    const std::string& name() const noexcept { return name_; }
    /// The next bytes; none at the end. Cancel safety: throws `cancelled`, nothing is lost.
    Task<std::string> read(BlockingPool* pool) {
        if (pollable_) {
            const auto ready = co_await as_result(readable(fd_));
            if (!ready && ready.error().detail() != "runtime.fd") throw ready.error();
            pollable_ = ready.has_value();  // a plain file is always ready
        }
        std::string block(block_size, '\0');
        const int fd = fd_;
        const auto size = co_await offload(*pool, [fd, &block] {
            const auto got = ::read(fd, block.data(), block.size());
            return got < 0 ? -errno : static_cast<int>(got);
        });
        if (size < 0) throw input_error(name_, -size);
        block.resize(static_cast<std::size_t>(size));
        co_return block;
    }

private:
    std::string name_;
    int fd_ = -1;
    bool pollable_ = true;
};

/// Splits what was read into lines.
class LineSplitter {
public:
    void add(std::string_view block) { text_.append(block); }
    /// A whole line without its end; nothing: more is needed.
    std::optional<std::string> line() {
        const auto end = text_.find('\n', searched_);
        if (end == std::string::npos) {
            searched_ = text_.size();
            return std::nullopt;
        }
        std::string line = text_.substr(begin_, end - begin_);
        begin_ = searched_ = end + 1;
        if (begin_ > block_size) {
            text_.erase(0, begin_);
            begin_ = searched_ = 0;
        }
        ++number_;
        return line;
    }
    /// What comes after the last line's end.
    std::string rest() {
        ++number_;
        return text_.substr(std::exchange(begin_, text_.size()));
    }
    std::size_t unfinished() const noexcept { return text_.size() - begin_; }
    /// Of the line given last, from 1.
    std::uint64_t number() const noexcept { return number_; }

private:
    std::string text_;
    std::size_t begin_ = 0;
    std::size_t searched_ = 0;
    std::uint64_t number_ = 0;
};

bool is_blank(std::string_view line) noexcept {
    return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

Bytes encoded_line(
    std::string_view line, std::uint64_t number, const std::string& file, const DecodeLimits& limits
) {
    const auto document = decode_json(line, limits);
    if (!document) {
        throw Error{
            document.error().code(),
            "cli.input",
            fmt::format("line {} of {}: {}", number, file, document.error().message())
        };
    }
    auto item = encode_msgpack(*document);
    if (!item) {
        throw Error{
            item.error().code(),
            "cli.input",
            fmt::format("line {} of {}: {}", number, file, item.error().message())
        };
    }
    return std::move(*item);
}

void check_size(const LineSplitter& lines, const std::string& file, const DecodeLimits& limits) {
    if (lines.unfinished() <= limits.max_size) return;
    throw Error{
        ErrorCode::payload_too_large,
        "cli.input",
        fmt::format(
            "line {} of {} is larger than {} bytes", lines.number() + 1, file, limits.max_size
        )
    };
}

}  // namespace

Result<void> check_input_file(const std::string& name) {
    if (name == "-" || ::access(name.c_str(), R_OK) == 0) return {};
    return std::unexpected{input_error(name, errno)};
}

Stream<Bytes> input_items(std::string name, DecodeLimits limits, BlockingPool* pool) {
    InputFile file{std::move(name)};
    LineSplitter lines;
    for (;;) {
        const auto block = co_await file.read(pool);
        if (block.empty()) break;
        lines.add(block);
        while (const auto line = lines.line()) {
            if (is_blank(*line)) continue;
            co_yield encoded_line(*line, lines.number(), file.name(), limits);
        }
        check_size(lines, file.name(), limits);
    }
    if (const auto last = lines.rest(); !is_blank(last))
        co_yield encoded_line(last, lines.number(), file.name(), limits);
}

}  // namespace stator::cli
