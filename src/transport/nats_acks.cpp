#include "transport/nats_acks.hpp"

#include <algorithm>
#include <utility>

#include "transport/nats_wire.hpp"

namespace stator::transport {

void NatsAcks::accepted(const std::string& reply, bool reads_many) {
    if (reply.empty()) return;
    const auto dot = reply.rfind('.');
    const auto inbox = reads_many && dot != std::string::npos ? dot + 1 : reply.size();
    const auto same = std::ranges::find_if(waiting_, [&](const Waiting& each) {
        return inbox < reply.size() && each.inbox == inbox &&
               std::string_view{each.reply}.substr(0, inbox) ==
                   std::string_view{reply}.substr(0, inbox);
    });
    if (same == waiting_.end()) {
        waiting_.push_back({.reply = reply, .inbox = inbox, .others = {}});
        return;
    }
    if (!same->others.empty()) same->others += ',';
    same->others.append(reply, inbox);
}

void NatsAcks::refused(const std::string& reply, std::string_view why) {
    if (reply.empty()) return;
    nats::Publication refusal;
    refusal.subject = reply;
    refusal.payload = Bytes::copy_of(why);
    (void)client_.publish(std::move(refusal));  // lost with the connection, as the request then is
}

void NatsAcks::send() {
    for (auto& each : waiting_) {
        nats::Publication ack;
        ack.subject = std::move(each.reply);
        if (!each.others.empty())
            ack.headers.push_back({std::string{nats_wire::also_accepted}, std::move(each.others)});
        (void)client_.queue(std::move(ack));
    }
    waiting_.clear();
    client_.send_queued();
}

}  // namespace stator::transport
