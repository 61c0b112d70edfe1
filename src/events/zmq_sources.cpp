#include "events/zmq_sources.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"

namespace stator::events {

ZmqSources::ZmqSources(std::shared_ptr<ZmqIntake> intake, std::shared_ptr<EventQueue> queue)
    : intake_{std::move(intake)}, queue_{std::move(queue)} {
    intake_->add_topic(queue_->options().topic);
}

ZmqSources::~ZmqSources() {
    for (const auto& [key, source] : sources_) drop(source);
    intake_->remove_topic(queue_->options().topic);
}

std::vector<ZmqSources::Left> ZmqSources::apply(store::WatchEvent event) {
    std::vector<Left> left;
    for (const auto& change : diff_.apply(std::move(event))) {
        if (change.kind == store::KeyChange::Kind::put) {
            come(change.key, change.value);
        } else if (const auto known = sources_.find(change.key); known != sources_.end()) {
            known->second.listed = false;
            left.push_back({change.key, known->second.time});
        }
    }
    return left;
}

void ZmqSources::come(const std::string& key, const std::string& record) {
    const auto channel = channel_from_record(record);
    if (!channel) {
        sink().report(Severity::warn, "events", fmt::format("{}: {}", key, channel.error().what()));
        return;
    }
    const auto& options = queue_->options();
    const auto* const zmq = std::get_if<ZmqChannel>(&channel->transport);
    // Publishers of other planes are listed there, too.
    if (zmq == nullptr || channel->topic != options.topic || channel->scope != options.scope)
        return;
    if (!zmq->endpoint.starts_with("tcp://")) {
        sink().report(
            Severity::warn, "events", fmt::format("{}: cannot dial {}", key, zmq->endpoint)
        );
        return;
    }
    Source source{channel->publisher_id, zmq->endpoint, ++times_, true};
    intake_->add(source.publisher, source.endpoint, queue_);
    if (const auto known = sources_.find(key); known != sources_.end()) {
        drop(known->second);
        known->second = std::move(source);
    } else {
        sources_.emplace(key, std::move(source));
    }
}

void ZmqSources::drop(const Source& source) {
    intake_->remove(source.publisher, source.endpoint, queue_.get());
}

void ZmqSources::let_go(const Left& who) {
    const auto known = sources_.find(who.key);
    if (known == sources_.end() || known->second.listed || known->second.time != who.time) return;
    drop(known->second);
    sources_.erase(known);
}

}  // namespace stator::events
