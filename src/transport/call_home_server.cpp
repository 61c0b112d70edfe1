#include "stator/transport/call_home_server.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport {

namespace {

/// Of a handshake's header; a subject and a word need about 80 bytes.
constexpr std::size_t max_greeting = 512;

/// Bits that nobody outside can guess, some at a time: asking the system for each costs too much.
class Secrets {
public:
    std::uint64_t next() {
        if (used_ == words_.size()) refill();
        return words_[used_++];
    }

private:
    void refill() {
        auto* at = reinterpret_cast<char*>(words_.data());
        for (std::size_t done = 0; done < sizeof words_;) {
            const auto got = ::getrandom(at + done, sizeof words_ - done, 0);
            if (got > 0) done += static_cast<std::size_t>(got);
            if (got < 0 && errno != EINTR)
                throw Error{ErrorCode::internal, "the system has no random numbers to give"};
        }
        used_ = 0;
    }
    std::array<std::uint64_t, 64> words_{};
    std::size_t used_ = 64;
};

constexpr unsigned loop_shift = 48;  // the first four hex digits

RequestId make_subject(std::size_t loop) {
    static thread_local Secrets secrets;
    constexpr std::uint64_t version = 0x4000;
    constexpr std::uint64_t variant = std::uint64_t{1} << 63U;
    const auto high = (secrets.next() & 0x0000FFFFFFFF0FFF) | version |
                      static_cast<std::uint64_t>(loop) << loop_shift;
    return {high, (secrets.next() & ~(std::uint64_t{3} << 62U)) | variant};
}

std::size_t loop_of(const RequestId& subject) noexcept {
    return static_cast<std::size_t>(subject.high() >> loop_shift);
}

Error bad_greeting(std::string_view why) {
    return Error{ErrorCode::protocol, "dynamo.bad_handshake", std::string{why}};
}

}  // namespace

/// A connection whose handshake is being read.
class CallHomeServer::Greeting {
public:
    explicit Greeting(net::Accepted accepted_) noexcept : accepted{std::move(accepted_)} {}

    /// Reads what is there. True once the handshake is complete. Errors: `protocol`,
    /// `disconnected`.
    Result<bool> read() {
        while (size_ < space_.size()) {
            const auto got = accepted.try_read(std::span{space_}.subspan(size_));
            if (!got) return std::unexpected{got.error()};
            const auto& bytes = *got;
            if (!bytes) return false;
            if (*bytes == 0)
                return fail(ErrorCode::disconnected, "net.end_of_stream", "closed unused");
            size_ += *bytes;
            const auto complete = parse();
            if (!complete || *complete) return complete;
        }
        return true;  // parse() does not let it come to this
    }
    Bytes rest() const {
        const auto used = dynamo::message_prelude + header_;
        return Bytes::copy_of(std::span{space_}.subspan(used, size_ - used));
    }

    net::Accepted accepted;
    dynamo::Handshake handshake;

private:
    Result<bool> parse() {
        if (size_ < dynamo::message_prelude) return false;
        const auto header = dynamo::load<std::uint64_t>(space_.data());
        const auto body = dynamo::load<std::uint64_t>(space_.data() + 8);
        if (header == 0 || header > max_greeting || body != 0)
            return std::unexpected{bad_greeting("the first message is no handshake")};
        header_ = static_cast<std::size_t>(header);
        if (size_ < dynamo::message_prelude + header_) return false;
        auto read = dynamo::read_handshake(
            Bytes::copy_of(std::span{space_}.subspan(dynamo::message_prelude, header_))
        );
        if (!read) return std::unexpected{std::move(read).error()};
        handshake = std::move(*read);
        return true;
    }

    std::array<std::byte, 4096> space_;
    std::size_t size_ = 0;
    std::size_t header_ = 0;
};

CallHomeServer::CallHomeServer(Options options, std::unique_ptr<net::Listener> listener)
    : options_{std::move(options)}, listener_{std::move(listener)}, scope_{options_.transports} {
    for (Loop* loop : options_.loops) {
        if (loops_.size() <= loop->index()) loops_.resize(loop->index() + 1, nullptr);
        loops_[loop->index()] = loop;
    }
    for (std::size_t i = 0; i < loops_.size(); ++i) rooms_.push_back(std::make_shared<Room>());
    auto told = listener_->address();
    if (!options_.advertise_host.empty()) {
        told.host = options_.advertise_host;
    } else if (told.is_wildcard()) {
        told.host = told.host == "::" ? "::1" : "127.0.0.1";
    }
    if (options_.advertise_port != 0) told.port = options_.advertise_port;
    address_ = told.to_string();
}

CallHomeServer::~CallHomeServer() = default;

Task<std::shared_ptr<CallHomeServer>> CallHomeServer::start(Options options) {
    auto listener = co_await net::Listener::bind_resetting(options.bind);
    std::shared_ptr<CallHomeServer> server{
        new CallHomeServer{std::move(options), std::move(listener)}
    };
    server->scope_.spawn(server->accept_loop());
    co_return server;
}

CallHomeServer::Subject CallHomeServer::expect(HomeCall& call, Direction direction) {
    const auto index = Loop::current()->index();
    const auto subject = make_subject(index);
    rooms_.at(index)->expected.emplace(subject, Expected{&call, direction});
    return subject;
}

void CallHomeServer::forget(const Subject& subject) noexcept {
    rooms_[loop_of(subject)]->expected.erase(subject);
}

std::size_t CallHomeServer::expected() const noexcept {
    const auto index = Loop::current()->index();
    return index < rooms_.size() ? rooms_[index]->expected.size() : 0;
}

Task<> CallHomeServer::accept_loop() {
    while (auto accepted = co_await listener_->accept()) admit(std::move(*accepted));
}

void CallHomeServer::admit(net::Accepted accepted) {
    auto greeting = std::make_unique<Greeting>(options_.security.secure(std::move(accepted)));
    // Mostly the handshake is there already, for the worker writes it with the connect.
    if (read_greeting(*greeting)) return;
    if (waiting_.size() >= options_.max_waiting) {
        sink().count("dynamo_call_home_evictions_total", 1);
        waiting_.front().cancel();
        waiting_.pop_front();
    }
    auto token = scope_.token().child_token();
    waiting_.push_back(token);
    scope_.spawn_on(*Loop::current(), wait_for_greeting(std::move(greeting)), std::move(token));
}

Task<> CallHomeServer::wait_for_greeting(std::unique_ptr<Greeting> greeting) {
    const auto token = co_await current_token();
    const auto until = Deadline::in(options_.handshake_timeout);
    std::optional<Error> failure;
    try {
        do {
            co_await with_deadline(until, greeting->accepted.readable());
        } while (!read_greeting(*greeting));
    } catch (const Error& error) {
        failure = error;
    }
    const auto place = std::ranges::find(waiting_, token);
    if (place != waiting_.end()) waiting_.erase(place);
    if (failure) refuse(greeting->accepted, *failure);
}

/// True when nothing more is to be read: it was given away, or refused.
bool CallHomeServer::read_greeting(Greeting& greeting) {
    const auto read = greeting.read();
    if (read && !*read) return false;
    if (read) {
        give_away(greeting);
    } else {
        refuse(greeting.accepted, read.error());
    }
    return true;
}

void CallHomeServer::give_away(Greeting& greeting) {
    const auto subject = Subject::parse(greeting.handshake.subject);
    const auto loop = subject ? loop_of(*subject) : loops_.size();
    if (loop >= loops_.size() || loops_[loop] == nullptr)
        return refuse(greeting.accepted, bad_greeting("nobody waits for that subject"));
    const bool response = greeting.handshake.stream_type == dynamo::StreamType::response;
    Caller caller{
        .subject = *subject,
        .direction = response ? Direction::response : Direction::request,
        .connection = std::move(greeting.accepted),
        .rest = greeting.rest(),
    };
    if (loops_[loop] == Loop::current()) return hand_over(*rooms_[loop], std::move(caller));
    scope_.spawn_on(*loops_[loop], hand_over_there(rooms_[loop], std::move(caller)));
}

Task<> CallHomeServer::hand_over_there(std::shared_ptr<Room> room, Caller caller) {
    // Not a parameter any more: those go where the frame goes.
    auto here = std::move(caller);
    hand_over(*room, std::move(here));
    co_return;
}

void CallHomeServer::hand_over(Room& room, Caller caller) noexcept {
    const auto found = room.expected.find(caller.subject);
    if (found == room.expected.end() || found->second.direction != caller.direction) {
        sink().count("dynamo_call_home_refused_total", 1);
        return caller.connection.reset();
    }
    HomeCall& call = *found->second.call;
    room.expected.erase(found);
    call.on_home(std::move(caller.connection), std::move(caller.rest));
}

void CallHomeServer::refuse(net::Accepted& accepted, const Error& why) {
    accepted.reset();
    sink().count("dynamo_call_home_refused_total", 1);
    if (why.code() == ErrorCode::cancelled || why.code() == ErrorCode::disconnected) return;
    const auto held_back = refusals_.admit(Clock::current().now());
    if (!held_back) return;
    sink().report(
        Severity::warn,
        "stator::transport",
        fmt::format(
            "a connection that called home was refused: {}{}",
            why.what(),
            and_unreported(*held_back)
        )
    );
}

Task<> CallHomeServer::close() { co_await scope_.close(CancelReason::shutdown); }

}  // namespace stator::transport
