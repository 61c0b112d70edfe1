#include "transport/dynamo_input.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "transport/dynamo_answer.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport {
namespace {

// What an empty item counts as while it is kept.
constexpr std::size_t item_overhead = 32;

}  // namespace

DynamoInput::DynamoInput(
    DynamoAnswer& answer, net::Address address, std::string_view subject, const DynamoConfig& config
)
    : answer_{answer},
      address_{std::move(address)},
      window_{config.input_window},
      budget_{config.process},
      reader_{{.body = config.max_item}, config.process} {
    if (budget_) budget_->windows_changed(0, window_);
    dynamo::put_handshake(link_.output(), subject, dynamo::StreamType::request);
}

DynamoInput::~DynamoInput() {
    if (budget_) budget_->windows_changed(window_, 0);
}

void DynamoInput::received(std::size_t size) {
    reader_.received(size);
    take_messages();
}

/// All that are complete, or as many as fit.
void DynamoInput::take_messages() {
    while (!link_.closed()) {
        if (kept_ >= window_) return link_.pause();
        auto read = reader_.next();
        if (!read) return answer_.violated(read.error());
        auto& message = *read;
        if (!message) return reader_.starved() ? link_.rest() : link_.resume();
        if (const auto good = take(std::move(*message)); !good)
            return answer_.violated(good.error());
    }
}

Result<void> DynamoInput::take(dynamo::Message message) {
    if (message.header.empty()) {
        kept_ += message.body.size() + item_overhead;
        booked_.put(std::move(message.booked));
        answer_.take(std::move(message.body));
        return {};
    }
    if (!message.body.empty()) {
        return stator::fail(
            ErrorCode::protocol, "dynamo.bad_word", "a word and an item in one message"
        );
    }
    return hear(message.header);
}

Result<void> DynamoInput::hear(const Bytes& header) {
    const auto word = dynamo::read_word(header);
    if (!word) return std::unexpected{word.error()};
    switch (*word) {
        case dynamo::Word::sentinel:
            break;
        case dynamo::Word::stop:
            answer_.stop();
            break;
        case dynamo::Word::kill:
            answer_.kill(CancelReason::requested);
            return {};
    }
    link_.close();  // nothing more can come
    answer_.input_ended();
    return {};
}

void DynamoInput::consumed(std::size_t size) noexcept {
    booked_.taken();
    kept_ -= std::min(kept_, size + item_overhead);
    if (link_.paused() && kept_ <= window_ / 2) take_messages();
}

void DynamoInput::peer_finished() noexcept {
    // Without a last word: whoever sent the request is gone.
    answer_.kill(CancelReason::peer_gone);
}

void DynamoInput::lost(const Error& why) noexcept {
    if (why.code() == ErrorCode::cancelled) return answer_.kill(CancelReason::shutdown);
    if (!connected() || why.code() == ErrorCode::unavailable) answer_.unreachable(address_, why);
    answer_.kill(CancelReason::peer_gone);
}

}  // namespace stator::transport
