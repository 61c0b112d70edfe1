#include "transport/dynamo_request_connection.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "transport/carrier_metrics.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_writer.hpp"

namespace stator::transport {

DynamoRequestConnection::DynamoRequestConnection(
    std::string address, const DynamoCallConfig& config, TaskScope& answers
)
    : address_{std::move(address)},
      config_{config},
      answers_{answers},
      link_{*this, config.most_unsent} {}

DynamoRequestConnection::~DynamoRequestConnection() = default;

Task<> DynamoRequestConnection::run(std::unique_ptr<net::Stream> stream) {
    const auto self = shared_from_this();
    co_await link_.run(std::move(stream));
    fail_pending(end_.value_or(
        Error{ErrorCode::disconnected, "dynamo.closed", "the request connection was closed"}
    ));
}

void DynamoRequestConnection::close() noexcept { link_.close(); }

Result<void> DynamoRequestConnection::send(
    UnansweredRequest& request,
    std::string_view path,
    const dynamo::TransportHeaders& headers,
    std::string_view control,
    Bytes body
) {
    if (!usable()) {
        return fail(
            ErrorCode::unavailable,
            "dynamo.connection_lost",
            fmt::format("the connection to {} is gone", address_)
        );
    }
    if (link_.full()) {
        return fail(
            ErrorCode::overloaded,
            "dynamo.congested",
            fmt::format("too much is waiting to be sent to {}", address_)
        );
    }
    auto named = headers;
    named.endpoint_path = std::string{path};
    const auto written = dynamo::write_headers(named);
    if (!written) return std::unexpected{written.error()};
    const auto size =
        dynamo::request_size(path.size(), written->size(), control.size() + body.size());
    auto put = dynamo::put_request(
        link_.output(), path, written->view(), control, std::move(body), config_.max_request
    );
    if (!put) return put;
    carrier_metrics().tcp_bytes_sent.add(size);
    request.number_ = first_ + pending_.size();
    request.acked_ = false;
    pending_.push_back(&request);
    link_.touch();
    return {};
}

void DynamoRequestConnection::forget(UnansweredRequest& request) noexcept {
    if (request.linked()) {
        return Unanswered::remove(request);
    }
    if (request.acked_ || request.number_ < first_) return;
    const auto place = request.number_ - first_;
    if (place < pending_.size() && pending_[place] == &request) pending_[place] = nullptr;
    close_if_done();
}

void DynamoRequestConnection::retire() noexcept {
    retired_ = true;
    close_if_done();
}

void DynamoRequestConnection::count_failure() noexcept { carrier_metrics().tcp_errors.add(); }

void DynamoRequestConnection::close_if_done() noexcept {
    if (!retired_ || link_.closed()) return;
    const bool awaited =
        std::ranges::any_of(pending_, [](const auto* one) { return one != nullptr; });
    if (!awaited) link_.close();
}

Task<> DynamoRequestConnection::uncongested() {
    const auto self = shared_from_this();
    if (!usable() || !link_.full()) co_return;
    room_.reset();
    co_await room_.wait();
}

std::size_t DynamoRequestConnection::space(std::array<iovec, 2>& vectors) {
    vectors[0] = {input_.data(), input_.size()};
    return 1;
}

void DynamoRequestConnection::received(std::size_t size) {
    carrier_metrics().tcp_bytes_received.add(size);
    acks_.feed(std::span{input_}.first(size));
    for (;;) {
        const auto ack = acks_.next();
        if (!ack) {
            end_ = ack.error();
            return link_.close();
        }
        if (!*ack) return;
        if (pending_.empty()) {
            end_ = Error{
                ErrorCode::protocol,
                "dynamo.bad_ack",
                fmt::format("{} acknowledges a request that was not sent", address_)
            };
            return link_.close();
        }
        take_ack(**ack);
        if (link_.closed()) return;
    }
}

void DynamoRequestConnection::take_ack(const std::string& text) noexcept {
    auto* const request = pending_.front();
    pending_.pop_front();
    ++first_;
    if (request == nullptr) return;
    request->acked_ = true;
    if (text.empty()) silent_.push_back(*request);
    request->on_ack(text);
    close_if_done();
}

void DynamoRequestConnection::peer_finished() noexcept {
    lost(Error{
        ErrorCode::disconnected,
        "net.end_of_stream",
        fmt::format("{} closed the connection", address_)
    });
    link_.close();
}

void DynamoRequestConnection::lost(const Error& why) noexcept {
    if (!end_) end_ = why;
    left_requests_ = left_requests_ || !pending_.empty();
    room_.set();
}

void DynamoRequestConnection::fail_pending(const Error& why) noexcept {
    room_.set();
    while (!pending_.empty()) {
        auto* const request = pending_.front();
        pending_.pop_front();
        ++first_;
        if (request == nullptr) continue;
        request->acked_ = true;  // there is nothing to be forgotten
        request->on_lost(why);
    }
}

void DynamoRequestConnection::take_silent_from(DynamoRequestConnection& other) noexcept {
    silent_.splice(other.silent_);
}

void DynamoRequestConnection::fail_silent(const Error& why) noexcept {
    while (!silent_.empty()) {
        silent_.pop_front().on_lost(why);
    }
}

}  // namespace stator::transport
