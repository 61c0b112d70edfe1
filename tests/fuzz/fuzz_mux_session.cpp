// A live session between a hostile peer and a lively application, both driven by the input.
//
// Checked: it never crashes or hangs; a stream ends at most once and says nothing afterwards; what
// it writes are frames that a peer may send; what it holds for a silent peer stays bounded; when
// all streams are released nothing is held.
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_support.hpp"
#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_session.hpp"

namespace {

using namespace stator;
using namespace stator::transport;
using fuzz::bytes_of;
using fuzz::Input;
using fuzz::require;

std::string little(std::uint64_t value, std::size_t size) {
    std::string out;
    for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
    return out;
}

std::string frame(unsigned type, unsigned flags, StreamId stream, std::string_view payload) {
    return little(payload.size(), 4) + little(type, 1) + little(flags, 1) + little(0, 2) +
           little(stream, 4) + std::string{payload};
}

std::string open_head(unsigned shape) {
    constexpr std::string_view path = "a/b/c";
    return little(48 + path.size(), 2) + little(shape, 1) + little(1, 1) + little(0, 2) +
           little(path.size(), 2) + std::string(32, '\0') + little(16384, 4) + little(0, 4) +
           std::string{path};
}

/// The application: remembers which streams live, and that each ends once.
class Application final : public MuxHandler {
public:
    struct Stream {
        std::vector<std::size_t> taken;
        bool ended = false;
        bool input_ended = false;
        bool released = false;
    };

    void on_ready(const mux::Hello&) override {}
    void* on_open(StreamId id, const CallHead& head, const Bytes* first, bool end) override {
        require(!streams.contains(id));
        require(!head.path.empty());
        auto& stream = streams[id];
        if (first != nullptr) stream.taken.push_back(first->size());
        stream.input_ended = end;
        return &stream;
    }
    void on_stop(StreamId id, void*, CancelReason) override { live(id); }
    void on_kill(StreamId id, void*, CancelReason) override { live(id).ended = true; }
    void on_reset(StreamId id, void*, const Error&) override { live(id).ended = true; }
    void on_accept(StreamId id, void*) override { live(id); }
    void on_error(StreamId id, void*, const Error&, CallFate) override { live(id).ended = true; }
    void on_message(StreamId id, void*, Bytes message, bool end) override {
        auto& stream = live(id);
        require(!stream.input_ended);
        stream.taken.push_back(message.size());
        // Reads every byte: a slice that points astray is seen by the sanitizer.
        for (const auto byte : message.span()) checksum += std::to_integer<unsigned>(byte);
        if (end) on_end(id, nullptr);
    }
    void on_end(StreamId id, void*) override {
        auto& stream = live(id);
        require(!stream.input_ended);
        stream.input_ended = true;
        if (caller) stream.ended = true;
    }
    void on_writable(StreamId id, void*) override { live(id); }
    void on_drain(InstanceId, std::string_view) override {}
    void on_suspect() override {}
    void on_healthy() override {}
    void on_closed(const Error&) override { require(closed++ == 0); }

    Stream& live(StreamId id) {
        const auto found = streams.find(id);
        require(found != streams.end());
        require(!found->second.ended && !found->second.released);
        return found->second;
    }

    std::map<StreamId, Stream> streams;
    bool caller = false;
    int closed = 0;
    unsigned checksum = 0;
};

MuxConfig small_config() {
    MuxConfig config;
    config.epoch = 1;
    config.max_frame = 32 << 10;
    config.max_message = 100 << 10;
    config.request_credit = 16 << 10;
    config.window = 256 << 10;
    config.memory_limit = 256 << 10;
    config.large_budget = (100 << 10) + 32;
    config.least_window = config.most_window = 16 << 10;
    config.output_limit = 16 << 10;
    config.fragment = 16 << 10;
    config.receive_block = 16 << 10;
    config.max_streams = 8;
    return config;
}

class Scene {
public:
    Scene(MuxRole role, Input& input)
        : role_{role}, input_{input}, session_{role, small_config(), application_, now_} {
        application_.caller = role == MuxRole::dialler;
    }

    void run() {
        // One input in eight has to get through the handshake by itself.
        if (input_.byte() % 8 != 0) {
            if (role_ == MuxRole::acceptor) {
                session_.feed(
                    bytes_of("\xFF\xFFSTATOR" + little(1, 2) + little(1, 2) + little(0, 4)), now_
                );
            }
            session_.feed(
                bytes_of(frame(1, 0, 0, little(1, 2) + little(0, 2) + little(9, 8))), now_
            );
            require(session_.ready());
        }
        while (!input_.empty()) {
            act();
            check();
        }
        finish();
    }

private:
    StreamId some_stream() { return 1 + 2 * (input_.byte() % 12); }
    Bytes some_message() { return Bytes::copy_of(std::string(input_.pair() * 2, 'm')); }

    void act() {
        switch (input_.byte() % 10) {
            case 0:
                return session_.feed(bytes_of(input_.bytes(input_.byte())), now_);
            case 1: {
                const auto type = input_.byte() % 18;
                const auto flags = input_.byte() % 20;
                const auto stream = input_.byte() % 4 == 0 ? 0 : some_stream();
                return session_.feed(
                    bytes_of(frame(type, flags, stream, input_.bytes(input_.byte()))), now_
                );
            }
            case 2:
                return open();
            case 3:
                return feed_data();
            case 4: {
                const auto amount = little(input_.pair() + 1U, 4);
                return session_.feed(bytes_of(frame(10, 0, some_id(), amount)), now_);
            }
            case 5:
            case 6:
                return application_acts();
            case 7:
                return write(input_.pair());
            case 8:
                now_ += std::chrono::milliseconds{input_.pair()};
                return session_.on_timer(now_);
            default:
                return consume();
        }
    }
    StreamId some_id() { return input_.byte() % 3 == 0 ? 0 : some_stream(); }

    void open() {
        const auto shape = input_.byte() % 4;
        if (role_ == MuxRole::acceptor) {
            next_ += 2;
            const auto flags = input_.byte() % 8;
            const auto message = (flags & 4U) != 0 ? input_.bytes(input_.byte()) : std::string{};
            return session_.feed(
                bytes_of(frame(2, flags, next_, open_head(shape) + message)), now_
            );
        }
        CallHead head;
        head.path = "a/b/c";
        head.shape = static_cast<CallShape>(shape);
        const auto first = some_message();
        const bool one = one_request(head.shape);
        const auto id = session_.open(head, one ? &first : nullptr, one, nullptr, now_);
        if (id) application_.streams[*id];
    }
    void feed_data() {
        const auto stream = some_stream();
        const auto flags = input_.byte() % 8;
        auto payload = (flags & 6U) == 6 ? little(input_.pair() * 2, 8) : std::string{};
        payload += std::string(input_.pair() % 20'000, 'd');
        session_.feed(bytes_of(frame(4, flags, stream, payload)), now_);
    }
    void application_acts() {
        const auto id = some_stream();
        const Error error{ErrorCode::internal, "fuzz.error", "made up"};
        const auto found = application_.streams.find(id);
        const auto ended = [&] {
            if (found != application_.streams.end()) found->second.ended = true;
        };
        switch (input_.byte() % 10) {
            case 0:
                return session_.accept(id);
            case 1:
                // With a message on its way it is a failure that follows the message.
                if (role_ == MuxRole::acceptor && session_.writable(id)) ended();
                return session_.refuse(id, error);
            case 2:
                return session_.fail(id, error);
            case 3:
                if (session_.writable(id))
                    session_.send(id, some_message(), input_.byte() % 4 == 0);
                return;
            case 4:
                if (session_.writable(id)) {
                    session_.send_copy(id, some_message().span(), input_.byte() % 4 == 0);
                }
                return;
            case 5:
                return session_.end(id);
            case 6:
                ended();
                return session_.reset(id, error);
            case 7:
                return session_.stop(id, CancelReason::requested);
            case 8:
                if (role_ == MuxRole::dialler) ended();
                return session_.kill(id, CancelReason::requested);
            default:
                return release(id);
        }
    }
    void release(StreamId id) {
        const auto found = application_.streams.find(id);
        if (found == application_.streams.end() || found->second.released) return;
        found->second.released = true;
        found->second.taken.clear();
        session_.release(id);
    }
    void consume() {
        const auto found = application_.streams.find(some_stream());
        if (found == application_.streams.end() || found->second.taken.empty()) return;
        session_.consumed(found->first, found->second.taken.front());
        found->second.taken.erase(found->second.taken.begin());
    }
    void write(std::size_t most) {
        std::array<iovec, 4> vectors{};
        const auto count = session_.gather(vectors);
        std::size_t taken = 0;
        for (std::size_t i = 0; i < count && taken < most; ++i) {
            const auto part = std::min(vectors[i].iov_len, most - taken);
            written_.append(static_cast<const char*>(vectors[i].iov_base), part);
            taken += part;
        }
        session_.written(taken, now_);
    }

    void check() {
        const auto stats = session_.stats();
        require(stats.credit_in >= 0);
        require(session_.closed() || stats.credit_out >= 0);
        require(stats.streams <= 1'000);
        // A closed session gives no more than it had and a goodbye.
        if (role_ == MuxRole::acceptor) require(stats.unwritten <= 3U << 20U);
        require(stats.held <= (256U << 10U));
        require(stats.reserved <= (100U << 10U) + 32);
    }
    void finish() {
        std::vector<StreamId> ids;
        for (const auto& [id, stream] : application_.streams) ids.push_back(id);
        for (const auto id : ids) release(id);
        const auto stats = session_.stats();
        require(stats.held == 0 && stats.reserved == 0);
        for (int i = 0; i < 10'000 && session_.has_output(); ++i) write(1U << 20U);
        std::string_view rest = written_;
        if (role_ == MuxRole::dialler) rest.remove_prefix(mux::preface_size);
        while (!rest.empty()) {
            require(rest.size() >= mux::frame_header_size);
            const auto header = mux::FrameHeader::decode(bytes_of(rest).data());
            require(mux::check_frame_header(header).empty());
            require(rest.size() >= mux::frame_header_size + header.length);
            rest.remove_prefix(mux::frame_header_size + header.length);
        }
    }

    MuxRole role_;
    Input& input_;
    TimePoint now_{std::chrono::hours{1}};
    Application application_;
    MuxSession session_;
    StreamId next_ = static_cast<StreamId>(-1);
    std::string written_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    const auto role = input.byte() % 2 == 0 ? MuxRole::acceptor : MuxRole::dialler;
    Scene{role, input}.run();
    return 0;
}
