#include "stator/transport/local_call.hpp"

#include <utility>

#include <fmt/format.h>

namespace stator::transport {

namespace {

const net::Address& this_process() {
    static const net::Address address{"127.0.0.1", 0};
    return address;
}

void check_size(const Bytes& item, std::uint64_t most, const char* who) {
    if (item.size() <= most) return;
    throw Error{
        ErrorCode::payload_too_large,
        "transport.message_too_large",
        fmt::format("an item of {} bytes; the {} takes at most {}", item.size(), who, most)
    };
}

}  // namespace

/// The worker's end. Either end may go first; each tells the other.
class LocalServerCall final : public ServerCall {
public:
    LocalServerCall(LocalCall& client, CancellationToken token) noexcept
        : ServerCall{std::move(token)},
          client_{&client},
          window_{client.options_.window},
          max_message_{client.options_.max_message} {}
    ~LocalServerCall() override {
        if (client_ == nullptr) return;
        finish([](LocalCall& client) {
            client.failed(
                Error{
                    ErrorCode::internal,
                    "transport.abandoned",
                    "the handler ended without an answer"
                },
                CallFate::accepted
            );
        });
    }

    const net::Address& peer() const noexcept override { return this_process(); }

    /// True: nothing more before `writable`.
    bool receive(Bytes item, bool end) {
        unread_ += item.size();
        take(std::move(item), end);
        return client_waits_ = !end && unread_ >= window_;
    }
    void on_half_closed() noexcept { half_closed(); }
    void on_stop(CancelReason reason) noexcept { stopped(reason); }
    void on_kill(CancelReason reason) noexcept {
        client_ = nullptr;
        killed(reason);
    }
    /// The caller has taken what was sent.
    void on_room() noexcept {
        if (std::exchange(waits_, false)) sent();
    }

private:
    /// This end is over: the other one is told so, and told nothing more.
    template <class Tell>
    void finish(Tell tell) {
        auto& client = *std::exchange(client_, nullptr);
        client.server_ = nullptr;
        tell(client);
    }

    SendStatus send_item(Bytes item, bool end) override {
        if (client_ == nullptr) return SendStatus::gone;
        check_size(item, max_message_, "caller");
        if (end) {
            finish([&](LocalCall& client) { client.take(std::move(item), true); });
            return SendStatus::more;
        }
        client_->unread_ += item.size();
        client_->take(std::move(item), false);
        waits_ = client_->unread_ >= window_;
        return waits_ ? SendStatus::wait : SendStatus::more;
    }
    void send_end() noexcept override {
        if (client_ != nullptr) finish([](LocalCall& client) { client.ended(); });
    }
    void send_error(const Error& error) noexcept override {
        if (client_ != nullptr)
            finish([&](LocalCall& client) { client.failed(error, CallFate::accepted); });
    }
    void send_accept() noexcept override {
        if (client_ != nullptr) client_->mark_accepted();
    }
    void send_refusal(const Error& error) noexcept override {
        if (client_ != nullptr)
            finish([&](LocalCall& client) { client.failed(error, CallFate::refused); });
    }
    void consumed(std::size_t size) noexcept override {
        unread_ -= size;
        if (client_ == nullptr || !client_waits_ || unread_ >= window_) return;
        client_waits_ = false;
        client_->writable();
    }

    LocalCall* client_;  // null when the answer has ended or the caller is gone
    const std::size_t window_;
    const std::uint64_t max_message_;
    std::size_t unread_ = 0;     // bytes here that nobody has taken
    bool client_waits_ = false;  // for that
    bool waits_ = false;         // this end, for the caller
};

LocalCall::~LocalCall() {
    if (server_ != nullptr) std::exchange(server_, nullptr)->on_kill(drop_reason());
}

Task<> LocalCall::openable() { co_return; }

Result<void> LocalCall::send_open(const CallHead& head, const Bytes* request) {
    if (request != nullptr && request->size() > options_.max_message) {
        return fail(
            ErrorCode::payload_too_large,
            "transport.message_too_large",
            fmt::format("a request of {} bytes; at most {}", request->size(), options_.max_message)
        );
    }
    const auto token = options_.tasks->token().child_token();
    auto own = std::make_unique<LocalServerCall>(*this, token);
    server_ = own.get();
    if (request != nullptr) server_->receive(*request, true);
    std::unique_ptr<ServerCall> call = std::move(own);
    auto serving = options_.dispatcher->dispatch(call, head);
    if (!serving) {
        call->refuse(serving.error());
        return {};
    }
    if (serving->accepted) mark_accepted();
    Loop& where = serving->loop == nullptr ? *Loop::current() : *serving->loop;
    options_.tasks->spawn_on(where, std::move(serving->task), token);
    return {};
}

SendStatus LocalCall::send_item(Bytes item) {
    if (server_ == nullptr) return SendStatus::gone;
    check_size(item, options_.max_message, "worker");
    return server_->receive(std::move(item), false) ? SendStatus::wait : SendStatus::more;
}

void LocalCall::send_half_close() noexcept {
    if (server_ != nullptr) server_->on_half_closed();
}

void LocalCall::send_stop(CancelReason reason) noexcept {
    if (server_ != nullptr) server_->on_stop(reason);
}

void LocalCall::send_kill(CancelReason reason) noexcept {
    if (server_ != nullptr) std::exchange(server_, nullptr)->on_kill(reason);
}

void LocalCall::consumed(std::size_t size) noexcept {
    unread_ -= size;
    if (server_ != nullptr && unread_ < options_.window) server_->on_room();
}

}  // namespace stator::transport
