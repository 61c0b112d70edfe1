#include "stator/transport/mux_hello.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_head.hpp"

namespace stator::transport::mux {
namespace {

constexpr std::size_t fixed_size = 12;
constexpr std::size_t max_records = 64;

enum Tag : std::uint16_t {
    tag_max_frame = 1,
    tag_max_message = 2,
    tag_stream_credit = 3,
    tag_connection_credit = 4,
    tag_max_streams = 5,
    tag_max_head = 6,
};

struct Record {
    std::string_view name;
    std::size_t size;
    std::uint64_t least;
    std::uint64_t most;
};

constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();

/// By tag - 1.
constexpr std::array<Record, 6> records = {{
    {"max_frame", 4, 16384, most_u32},
    {"max_message", 8, 16384, most_u32},
    {"stream_credit", 4, least_stream_credit, most_u32},
    {"connection_credit", 8, 65536, static_cast<std::uint64_t>(max_balance)},
    {"max_streams", 4, 0, most_u32},
    {"max_head", 4, 1024, max_head_size},
}};

std::unexpected<Error> bad_hello(std::string why) {
    return fail(ErrorCode::protocol, "mux.bad_hello", std::move(why));
}

class Writer {
public:
    template <class T>
    void put(T value) {
        const auto at = out_.size();
        out_.resize(at + sizeof(T));
        store(out_.data() + at, value);
    }
    template <class T>
    void record(Tag tag, T value) {
        put(static_cast<std::uint16_t>(tag));
        put(static_cast<std::uint16_t>(sizeof(T)));
        put(value);
    }
    std::vector<std::byte> take() { return std::move(out_); }

private:
    std::vector<std::byte> out_;
};

void set(Hello& hello, std::uint16_t tag, std::uint64_t value) noexcept {
    const auto small = static_cast<std::uint32_t>(value);
    switch (tag) {
        case tag_max_frame:
            hello.max_frame = small;
            break;
        case tag_max_message:
            hello.max_message = value;
            break;
        case tag_stream_credit:
            hello.stream_credit = small;
            break;
        case tag_connection_credit:
            hello.connection_credit = value;
            break;
        case tag_max_streams:
            hello.max_streams = small;
            break;
        default:
            hello.max_head = small;
            break;
    }
}

/// One record whose tag is known; `value` has its bytes.
Result<void> read_record(Hello& hello, std::uint16_t tag, std::span<const std::byte> value) {
    const auto& record = records[tag - 1U];
    if (value.size() != record.size) {
        return bad_hello(fmt::format("{} takes {} bytes", record.name, value.size()));
    }
    const auto number =
        value.size() == 4 ? load<std::uint32_t>(value.data()) : load<std::uint64_t>(value.data());
    if (number < record.least || number > record.most) {
        return bad_hello(fmt::format("{} is {}, out of bounds", record.name, number));
    }
    set(hello, tag, number);
    return {};
}

Result<void> read_records(Hello& hello, std::span<const std::byte> rest) {
    std::array<bool, records.size() + 1> seen{};
    for (std::size_t count = 0; !rest.empty(); ++count) {
        if (count == max_records) return bad_hello("too many records");
        if (rest.size() < 4) return bad_hello("a record is cut off");
        const auto tag = load<std::uint16_t>(rest.data());
        const std::size_t size = load<std::uint16_t>(rest.data() + 2);
        rest = rest.subspan(4);
        if (rest.size() < size) return bad_hello("a record is cut off");
        if (tag >= 1 && tag <= records.size()) {
            if (seen[tag]) return bad_hello(fmt::format("{} twice", records[tag - 1U].name));
            seen[tag] = true;
            if (auto read = read_record(hello, tag, rest.first(size)); !read) return read;
        }
        rest = rest.subspan(size);
    }
    return {};
}

}  // namespace

std::vector<std::byte> Hello::encode(bool dialler) const {
    Writer out;
    out.put(version);
    out.put(std::uint16_t{0});
    out.put(epoch);
    out.record(tag_max_frame, max_frame);
    out.record(tag_max_message, max_message);
    if (!dialler) out.record(tag_stream_credit, stream_credit);
    out.record(tag_connection_credit, connection_credit);
    out.record(tag_max_streams, dialler ? std::uint32_t{0} : max_streams);
    if (!dialler) out.record(tag_max_head, max_head);
    return out.take();
}

Result<Hello> Hello::decode(std::span<const std::byte> payload) {
    if (payload.size() < fixed_size) return bad_hello("cut off");
    Hello hello;
    hello.version = load<std::uint16_t>(payload.data());
    hello.epoch = load<std::uint64_t>(payload.data() + 4);
    if (load<std::uint16_t>(payload.data() + 2) != 0) return bad_hello("reserved bytes not zero");
    if (auto read = read_records(hello, payload.subspan(fixed_size)); !read) {
        return std::unexpected{std::move(read).error()};
    }
    if (hello.max_head > hello.max_frame) return bad_hello("max_head is above max_frame");
    return hello;
}

}  // namespace stator::transport::mux
