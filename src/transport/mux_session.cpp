#include "stator/transport/mux_session.hpp"

#include "transport/mux_core.hpp"

namespace stator::transport {

MuxSession::MuxSession(MuxRole role, const MuxConfig& config, MuxHandler& handler, TimePoint now)
    : core_{std::make_unique<Core>(role, config, handler, now)} {
    core_->start();
}

MuxSession::~MuxSession() = default;

std::size_t MuxSession::receive_space(std::array<iovec, 2>& space) {
    return closed() ? 0 : core_->input.space(space);
}

void MuxSession::received(std::size_t size, TimePoint now) { core_->received(size, now); }

void MuxSession::feed(std::span<const std::byte> bytes, TimePoint now) { core_->feed(bytes, now); }

bool MuxSession::has_output() const noexcept { return core_->has_output(); }

std::size_t MuxSession::gather(std::span<iovec> vectors) {
    core_->end_turn();
    return core_->output.gather(vectors);
}

std::size_t MuxSession::gather_early(std::span<iovec> vectors) const noexcept {
    return core_->output.gather(vectors);
}

std::size_t MuxSession::output_size() const noexcept { return core_->output.size(); }

void MuxSession::written(std::size_t size, TimePoint now) { core_->written(size, now); }

TimePoint MuxSession::next_timer() const noexcept { return core_->next_timer(); }

void MuxSession::on_timer(TimePoint now) { core_->on_timer(now); }

void MuxSession::watch(bool wanted, TimePoint now) { core_->watch(wanted, now); }

bool MuxSession::suspect() const noexcept { return core_->liveness.suspect(); }

void MuxSession::goodbye(std::optional<Error> error) { core_->goodbye(error); }

void MuxSession::disconnected(const Error& cause) {
    core_->output.clear();
    core_->close(cause, nullptr, false);
    core_->output.clear();
}

bool MuxSession::closed() const noexcept { return core_->state == Core::State::closed; }

bool MuxSession::ready() const noexcept { return core_->state == Core::State::ready; }

Result<StreamId> MuxSession::open(
    const CallHead& head, const Bytes* first, bool end, void* context, TimePoint now
) {
    return core_->open(head, first, end, context, now);
}

void MuxSession::stop(StreamId stream, CancelReason reason) { core_->stop(stream, reason); }

void MuxSession::kill(StreamId stream, CancelReason reason) { core_->kill(stream, reason); }

void MuxSession::accept(StreamId stream) { core_->accept(stream); }

void MuxSession::refuse(StreamId stream, const Error& error) { core_->fail(stream, error, true); }

void MuxSession::fail(StreamId stream, const Error& error) { core_->fail(stream, error, false); }

SendStatus MuxSession::send(StreamId stream, Bytes message, bool end) {
    return core_->send(stream, &message, message.span(), end);
}

SendStatus MuxSession::send_copy(StreamId stream, std::span<const std::byte> message, bool end) {
    return core_->send(stream, nullptr, message, end);
}

bool MuxSession::writable(StreamId stream) const noexcept {
    const auto* found = core_->streams.find(stream);
    return found != nullptr && !found->over && !found->sent_end && !found->out_pending;
}

void MuxSession::end(StreamId stream) { core_->end(stream); }

void MuxSession::reset(StreamId stream, const Error& error) { core_->reset(stream, error); }

void MuxSession::consumed(StreamId stream, std::size_t size) { core_->consumed(stream, size); }

void MuxSession::release(StreamId stream) { core_->release(stream); }

void* MuxSession::context(StreamId stream) const noexcept {
    const auto* found = core_->streams.find(stream);
    return found == nullptr ? nullptr : found->context;
}

void MuxSession::set_context(StreamId stream, void* context) noexcept {
    if (auto* found = core_->streams.find(stream); found != nullptr) found->context = context;
}

void MuxSession::drain(InstanceId instance, std::string_view reason) {
    core_->drain(instance, reason);
}

MuxRole MuxSession::role() const noexcept { return core_->role; }

const mux::Hello& MuxSession::peer() const noexcept { return core_->peer; }

MuxStats MuxSession::stats() const noexcept {
    const auto& core = *core_;
    MuxStats stats;
    stats.frames_in = core.frames_in;
    stats.frames_out = core.frames_out;
    stats.dropped_frames = core.dropped_frames;
    stats.violations = core.violations;
    stats.streams = core.streams.size();
    stats.open_streams = core.open_streams;
    stats.unsent_answers = core.unsent_answers;
    stats.unwritten = core.output.size();
    stats.held = core.ledger.held();
    stats.reserved = core.ledger.reserved();
    stats.credit_out = core.credit;
    stats.credit_in = core.ledger.balance();
    stats.round_trip = core.round_trip;
    return stats;
}

}  // namespace stator::transport
