// Two sessions on a simulated connection, driven by a seed, beside a model of what must happen; and
// several such connections between two processes.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/random.hpp"
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {

/// The content of the n-th message of a direction of a call; every byte depends on all of it.
inline std::string message_content(
    StreamId stream, bool request, std::size_t index, std::size_t size
) {
    std::string out(size, '\0');
    auto state = stream * 0x9E3779B97F4A7C15U + index * 4 + (request ? 1 : 2);
    for (std::size_t at = 0; at < size; at += sizeof(state)) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        std::memcpy(out.data() + at, &state, std::min(sizeof(state), size - at));
    }
    return out;
}

/// One direction of a call as its sender and its receiver saw it.
struct Half {
    std::vector<std::size_t> sent;  ///< sizes, in order
    std::size_t received = 0;
    std::deque<std::size_t> queue;  ///< sizes received and not taken
    bool writable = true;
    bool sender_ended = false;
    bool end_received = false;
};

struct SimCall {
    CallShape shape = CallShape::unary;
    Half request;
    Half response;
    bool seen_by_worker = false;
    bool caller_done = false;  ///< end, error, or killed by itself
    bool worker_done = false;  ///< kill or reset seen, or it gave its answer's end
    bool worker_over = false;  ///< kill or reset seen, or reset or refused by itself
    bool accept_called = false;
    bool cut_short = false;  ///< killed, reset, refused or failed: not everything arrives
    bool refused = false;
    bool failed = false;
    bool stopped = false;
    std::optional<CallFate> fate;
    int caller_ends = 0;
    int worker_ends = 0;
    bool caller_released = false;
    bool worker_released = false;
};

struct SimOptions {
    bool cuts = false;        ///< the connection may break at any byte
    bool slow_taker = false;  ///< some calls' consumers take nothing until the end
    int steps = 400;
    /// What the connections of each process share; none: this one has all that its settings say.
    std::shared_ptr<BufferBudget> caller_budget{};
    std::shared_ptr<BufferBudget> worker_budget{};
};

class Simulation {
public:
    Simulation(std::uint64_t seed, SimOptions options)
        : options_{options},
          random_{seed},
          caller_{*this, true},
          worker_{*this, false},
          dialler_{std::make_unique<MuxSession>(
              MuxRole::dialler, small_config(seed, options_.caller_budget), caller_, now_
          )},
          acceptor_{std::make_unique<MuxSession>(
              MuxRole::acceptor, small_config(seed + 1, options_.worker_budget), worker_, now_
          )} {}

    void run() {
        for (int i = 0; i < options_.steps && !broken_; ++i) step();
        for (int round = 0; !finished(); ++round) {
            ASSERT_LT(round, rounds_to_finish) << "somebody waits for ever: " << describe();
            finish_round();
        }
        check();
    }

    // The parts of `run`, for who runs several at a time.
    static constexpr int rounds_to_finish = 20'000;
    /// Something that may happen at any time. Precondition: not broken.
    void step() {
        now_ += Duration{static_cast<std::int64_t>(random_.below(1'000'000))};
        happen();
        EXPECT_GE(dialler_->stats().credit_out, 0);
        EXPECT_GE(acceptor_->stats().credit_out, 0);
        EXPECT_GE(dialler_->stats().credit_in, 0);
        EXPECT_GE(acceptor_->stats().credit_in, 0);
    }
    bool broken() const noexcept { return broken_; }
    /// Everybody finishes, takes everything, and all that was written arrives: a bit of it.
    void finish_round() {
        finishing_ = true;
        now_ += std::chrono::milliseconds{10};
        for (auto* session : {dialler_.get(), acceptor_.get()}) session->on_timer(now_);
        for (auto& [id, call] : calls_) {
            finish_half(id, call, true);
            finish_half(id, call, false);
            // A call that was killed holds what had arrived of a message until its owner is gone.
            if (call.cut_short && call.caller_done && !call.caller_released) release(id, true);
        }
        for (int i = 0; i < 4; ++i) {
            consume(true);
            consume(false);
        }
        write(*dialler_, to_acceptor_);
        write(*acceptor_, to_dialler_);
        read(*acceptor_, to_acceptor_, 200'000);
        read(*dialler_, to_dialler_, 200'000);
    }
    bool finished() const { return broken_ || quiet(); }
    std::string describe() const { return describe(*dialler_) + describe(*acceptor_); }
    void check() {
        for (auto& [id, call] : calls_) {
            if (!call.cut_short && !broken_) {
                EXPECT_EQ(call.response.received, call.response.sent.size()) << id;
                EXPECT_TRUE(call.response.end_received) << id;
                EXPECT_EQ(call.caller_ends, 1) << id;
            }
            EXPECT_LE(call.caller_ends, 1) << id;
            EXPECT_LE(call.worker_ends, 1) << id;
            if (broken_) EXPECT_TRUE(call.caller_done) << id;
            if (!call.caller_released) release(id, true);
            if (call.seen_by_worker && !call.worker_released) release(id, false);
        }
        for (const auto* session : {dialler_.get(), acceptor_.get()}) {
            EXPECT_EQ(session->stats().streams, 0U);
            EXPECT_EQ(session->stats().held, 0U);
            EXPECT_EQ(session->stats().reserved, 0U);
        }
        EXPECT_EQ(caller_.closed, broken_ ? 1 : 0);
        if (!broken_) check_credit();
    }

private:
    struct Side final : MuxHandler {
        Side(Simulation& own, bool is_caller) : sim{own}, caller{is_caller} {}
        void on_ready(const mux::Hello&) override { ready = true; }
        void* on_open(StreamId id, const CallHead& head, const Bytes* first, bool end) override {
            sim.worker_sees(id, head, first, end);
            return &sim.calls_[id];
        }
        void on_stop(StreamId id, void*, CancelReason) override {
            EXPECT_TRUE(sim.calls_[id].stopped) << id;
            EXPECT_FALSE(sim.calls_[id].worker_over) << id;
        }
        void on_kill(StreamId id, void*, CancelReason) override { sim.worker_loses(id); }
        void on_reset(StreamId id, void*, const Error&) override { sim.worker_loses(id); }
        void on_accept(StreamId id, void*) override {
            EXPECT_FALSE(sim.calls_[id].caller_done) << id;
        }
        void on_error(StreamId id, void*, const Error&, CallFate fate) override {
            sim.caller_fails(id, fate);
        }
        void on_message(StreamId id, void* context, Bytes message, bool end) override {
            if (!caller) EXPECT_EQ(context, &sim.calls_[id]);
            sim.takes(id, !caller, message, end);
        }
        void on_end(StreamId id, void*) override { sim.ends(id, !caller); }
        void on_writable(StreamId id, void*) override {
            auto& half = caller ? sim.calls_[id].request : sim.calls_[id].response;
            EXPECT_FALSE(half.writable) << id;
            EXPECT_FALSE(half.sender_ended) << id;
            half.writable = true;
        }
        void on_drain(InstanceId, std::string_view) override {}
        void on_suspect() override { ADD_FAILURE() << "suspect"; }
        void on_healthy() override { ADD_FAILURE() << "healthy"; }
        void on_violation(StreamId id, std::string_view detail) override {
            ADD_FAILURE() << "violation " << detail << " on " << id;
        }
        void on_closed(const Error& error) override {
            EXPECT_TRUE(sim.broken_) << error.what();
            ++closed;
        }
        Simulation& sim;
        bool caller;
        bool ready = false;
        int closed = 0;
    };

    static MuxConfig small_config(std::uint64_t seed, std::shared_ptr<BufferBudget> process) {
        MuxConfig config;
        config.process = std::move(process);
        Random random{seed * 77 + 5};
        config.epoch = random();
        config.max_frame = 16'384 + static_cast<std::uint32_t>(random.below(40'000));
        config.max_message = 200'000;
        config.request_credit = 8'192 + static_cast<std::uint32_t>(random.below(40'000));
        config.window = 256 << 10;
        config.memory_limit = (256 << 10) + random.below(300'000);
        config.large_budget = 200'032 + random.below(200'000);
        config.least_window = 16 << 10;
        config.most_window = 16'384 + static_cast<std::uint32_t>(random.below(40'000));
        config.output_limit = 16'384 + random.below(60'000);
        config.fragment = 16'384 + random.below(20'000);
        config.receive_block = 16'384 + random.below(60'000);
        config.max_streams = 64;
        return config;
    }

    // --- what the handlers saw
    void worker_sees(StreamId id, const CallHead& head, const Bytes* first, bool end) {
        auto& call = calls_[id];
        EXPECT_FALSE(std::exchange(call.seen_by_worker, true)) << id;
        EXPECT_EQ(head.shape, call.shape);
        EXPECT_EQ(head.path, fmt::format("sim/call/{}", id));
        if (first != nullptr) {
            takes(id, true, *first, end);
        } else if (end) {
            ends(id, true);
        }
    }
    void takes(StreamId id, bool request, const Bytes& message, bool end) {
        auto& call = calls_[id];
        auto& half = request ? call.request : call.response;
        EXPECT_FALSE(request ? call.worker_over : call.caller_done) << id;
        EXPECT_FALSE(half.end_received) << id;
        ASSERT_LT(half.received, half.sent.size()) << id << " doubled or invented";
        ASSERT_EQ(message.size(), half.sent[half.received]) << id;
        ASSERT_EQ(message.view(), message_content(id, request, half.received, message.size()))
            << id;
        ++half.received;
        half.queue.push_back(message.size());
        if (end) ends(id, request);
    }
    void ends(StreamId id, bool request) {
        auto& call = calls_[id];
        auto& half = request ? call.request : call.response;
        EXPECT_FALSE(std::exchange(half.end_received, true)) << id;
        EXPECT_TRUE(half.sender_ended) << id;
        EXPECT_EQ(half.received, half.sent.size()) << id << " ended early";
        if (request) return;
        EXPECT_FALSE(call.caller_done) << id;
        EXPECT_FALSE(call.failed || call.refused) << id;
        call.caller_done = true;
        ++call.caller_ends;
    }
    void caller_fails(StreamId id, CallFate fate) {
        auto& call = calls_[id];
        EXPECT_FALSE(std::exchange(call.caller_done, true)) << id;
        EXPECT_TRUE(call.cut_short || broken_) << id;
        if (!broken_) {
            EXPECT_EQ(fate == CallFate::refused, call.refused) << id;
        }
        call.fate = fate;
        ++call.caller_ends;
    }
    void worker_loses(StreamId id) {
        auto& call = calls_[id];
        EXPECT_FALSE(std::exchange(call.worker_over, true)) << id;
        EXPECT_TRUE(call.cut_short || broken_) << id;
        call.worker_done = true;
        ++call.worker_ends;
    }

    // --- what happens by chance
    bool chance(std::uint64_t in) { return random_.below(in) == 0; }
    std::size_t message_size() {
        switch (random_.below(8)) {
            case 0:
                return 0;
            case 1:
                return 16'000 + random_.below(20'000);
            case 2:
                return random_.below(200'001);
            default:
                return random_.below(200);
        }
    }
    template <class Wanted>
    SimCall* pick(StreamId& id, Wanted wanted) {
        std::vector<StreamId> fit;
        for (auto& [key, call] : calls_) {
            if (wanted(call)) fit.push_back(key);
        }
        if (fit.empty()) return nullptr;
        id = fit[random_.below(fit.size())];
        return &calls_[id];
    }

    void happen() {
        switch (random_.below(14)) {
            case 0:
            case 1:
                write(*dialler_, to_acceptor_);
                break;
            case 2:
            case 3:
                write(*acceptor_, to_dialler_);
                break;
            case 4:
            case 5:
                read(*acceptor_, to_acceptor_, 1 + random_.below(40'000));
                break;
            case 6:
            case 7:
                read(*dialler_, to_dialler_, 1 + random_.below(40'000));
                break;
            case 8:
                open();
                break;
            case 9:
                caller_acts();
                break;
            case 10:
            case 11:
                worker_acts();
                break;
            case 12:
                consume(chance(2));
                break;
            default:
                rarely();
                break;
        }
    }
    void rarely() {
        if (options_.cuts && chance(30)) return cut();
        dialler_->on_timer(now_);
        acceptor_->on_timer(now_);
        StreamId id = 0;
        if (chance(3)) {
            auto* call = pick(id, [](auto& c) { return c.caller_done && !c.caller_released; });
            if (call != nullptr) release(id, true);
        }
        if (chance(3)) {
            auto* call = pick(id, [](auto& c) { return c.worker_done && !c.worker_released; });
            if (call != nullptr) release(id, false);
        }
    }
    void release(StreamId id, bool caller) {
        auto& call = calls_[id];
        (caller ? call.caller_released : call.worker_released) = true;
        (caller ? call.response : call.request).queue.clear();
        (caller ? dialler_ : acceptor_)->release(id);
    }
    void write(MuxSession& session, std::string& wire) {
        std::array<iovec, 4> vectors{};
        const auto count = session.gather(std::span{vectors}.first(1 + random_.below(4)));
        std::size_t total = 0;
        for (std::size_t i = 0; i < count; ++i) total += vectors[i].iov_len;
        auto left = chance(2) ? total : random_.below(total + 1);
        const auto taken = left;
        for (std::size_t i = 0; i < count && left > 0; ++i) {
            const auto part = std::min(left, vectors[i].iov_len);
            wire.append(static_cast<const char*>(vectors[i].iov_base), part);
            left -= part;
        }
        session.written(taken, now_);
    }
    void read(MuxSession& session, std::string& wire, std::size_t most) {
        std::array<iovec, 2> space{};
        const auto count = session.receive_space(space);
        auto left = std::min(most, wire.size());
        std::size_t taken = 0;
        for (std::size_t i = 0; i < count && left > 0; ++i) {
            const auto part = std::min(left, space[i].iov_len);
            std::memcpy(space[i].iov_base, wire.data() + taken, part);
            taken += part;
            left -= part;
        }
        wire.erase(0, taken);
        session.received(taken, now_);
    }
    void open() {
        if (!caller_.ready || calls_.size() > 40) return;
        CallHead head;
        head.shape = static_cast<CallShape>(random_.below(4));
        const StreamId id = next_;
        const auto path = fmt::format("sim/call/{}", id);
        head.path = path;
        const bool one = one_request(head.shape);
        const bool with_message = one || chance(2);
        const auto size = message_size();
        const auto first = Bytes::copy_of(message_content(id, true, 0, size));
        const bool end = one || chance(4);
        auto& call = calls_[id];
        call.shape = head.shape;
        if (with_message) call.request.sent.push_back(size);
        call.request.sender_ended = end;
        const auto opened =
            dialler_->open(head, with_message ? &first : nullptr, end, nullptr, now_);
        if (!opened) {
            EXPECT_EQ(opened.error().code(), ErrorCode::overloaded) << opened.error().what();
            calls_.erase(id);
            return;
        }
        ASSERT_EQ(*opened, id);
        next_ += 2;
        call.request.writable = dialler_->writable(id);
    }
    void send(StreamId id, SimCall& call, bool request) {
        auto& half = request ? call.request : call.response;
        auto& session = request ? *dialler_ : *acceptor_;
        const bool one = request ? one_request(call.shape) : one_response(call.shape);
        const auto size = message_size();
        const bool end = one || chance(6);
        const auto content = message_content(id, request, half.sent.size(), size);
        half.sent.push_back(size);
        half.sender_ended = end;
        half.writable = false;
        const auto status = chance(2) ? session.send(id, Bytes::copy_of(content), end)
                                      : session.send_copy(id, bytes_of(content), end);
        ASSERT_TRUE(status == SendStatus::more || status == SendStatus::wait) << id;
        if (status == SendStatus::more) half.writable = !end;
        if (end && !request) call.worker_done = true;
    }
    void caller_acts() {
        StreamId id = 0;
        auto* call = pick(id, [](auto& c) { return !c.caller_done && !c.caller_released; });
        if (call == nullptr) return;
        if (chance(40)) {
            dialler_->stop(id, CancelReason::requested);
            call->stopped = true;
        } else if (chance(60)) {
            call->cut_short = call->caller_done = true;
            if (chance(2)) {
                dialler_->kill(id, CancelReason::deadline);
            } else if (chance(2)) {
                dialler_->reset(id, Error{ErrorCode::internal, "sim.reset", "reset"});
            } else {
                release(id, true);
            }
        } else if (call->request.writable && !call->request.sender_ended) {
            if (chance(5) && !one_request(call->shape)) {
                call->request.sender_ended = true;
                dialler_->end(id);
            } else {
                send(id, *call, true);
            }
        } else if (!call->request.sender_ended && chance(3)) {
            call->request.sender_ended = true;  // while a message waits
            dialler_->end(id);
        }
    }
    void worker_acts() {
        StreamId id = 0;
        auto* call = pick(id, [](auto& c) { return c.seen_by_worker && !c.worker_done; });
        if (call == nullptr) return;
        const bool began = !call->response.sent.empty();
        if (chance(4)) {
            call->accept_called = true;
            acceptor_->accept(id);
        } else if (chance(50)) {
            call->cut_short = call->failed = call->worker_done = true;
            call->response.sender_ended = true;
            acceptor_->fail(id, Error{ErrorCode::internal, "sim.fail", "failed"});
        } else if (chance(60)) {
            call->cut_short = call->failed = call->worker_done = call->worker_over = true;
            acceptor_->reset(id, Error{ErrorCode::internal, "sim.reset", "reset"});
        } else if (!began && !call->accept_called && chance(10)) {
            call->cut_short = call->refused = call->worker_done = call->worker_over = true;
            acceptor_->refuse(id, Error{ErrorCode::overloaded, "sim.full", "full"});
        } else if (call->response.writable) {
            send(id, *call, false);
        } else if (began && !one_response(call->shape) && chance(4)) {
            call->response.sender_ended = call->worker_done = true;
            acceptor_->end(id);
        }
    }
    void consume(bool request) {
        StreamId id = 0;
        auto* call =
            pick(id, [&](auto& c) { return !(request ? c.request : c.response).queue.empty(); });
        if (call == nullptr) return;
        if (options_.slow_taker && !finishing_ && id % 4 == 1) return;
        auto& queue = (request ? call->request : call->response).queue;
        (request ? acceptor_ : dialler_)->consumed(id, queue.front());
        queue.pop_front();
    }
    void cut() {
        broken_ = true;
        const Error lost{ErrorCode::disconnected, "sim.cut", "cut"};
        if (chance(2)) to_acceptor_.clear();
        while (!to_acceptor_.empty() && !acceptor_->closed()) read(*acceptor_, to_acceptor_, 9'999);
        dialler_->disconnected(lost);
        acceptor_->disconnected(lost);
    }

    // --- the end
    static std::string describe(const MuxSession& session) {
        const auto stats = session.stats();
        return fmt::format(
            "[open {} unwritten {} held {} reserved {} credit out {} in {}]",
            stats.open_streams,
            stats.unwritten,
            stats.held,
            stats.reserved,
            stats.credit_out,
            stats.credit_in
        );
    }
    void finish_half(StreamId id, SimCall& call, bool request) {
        auto& half = request ? call.request : call.response;
        const bool done = request ? call.caller_done : (call.worker_done || !call.seen_by_worker);
        if (done || half.sender_ended) return;
        const bool one = request ? one_request(call.shape) : one_response(call.shape);
        if (one && half.sent.empty()) {
            if (half.writable) send(id, call, request);
            return;
        }
        half.sender_ended = true;
        (request ? dialler_ : acceptor_)->end(id);
        if (!request) call.worker_done = true;
    }
    bool quiet() const {
        const auto idle = [](const SimCall& call) {
            return call.request.queue.empty() && call.response.queue.empty();
        };
        return to_acceptor_.empty() && to_dialler_.empty() && !dialler_->has_output() &&
               !acceptor_->has_output() && dialler_->stats().open_streams == 0 &&
               acceptor_->stats().open_streams == 0 &&
               std::ranges::all_of(calls_, [&](auto& entry) { return idle(entry.second); });
    }
    void check_credit() {
        for (int i = 0; i < 10; ++i) {
            write(*dialler_, to_acceptor_);
            write(*acceptor_, to_dialler_);
            while (!to_acceptor_.empty()) read(*acceptor_, to_acceptor_, 200'000);
            while (!to_dialler_.empty()) read(*dialler_, to_dialler_, 200'000);
        }
        EXPECT_EQ(dialler_->stats().credit_out, acceptor_->stats().credit_in);
        EXPECT_EQ(acceptor_->stats().credit_out, dialler_->stats().credit_in);
        // Never more than all of the window is out, and more than half of it where it is not
        // shared.
        if (!options_.worker_budget) EXPECT_GT(acceptor_->stats().credit_in, 128 << 10);
        if (!options_.caller_budget) EXPECT_GT(dialler_->stats().credit_in, 128 << 10);
        EXPECT_LE(acceptor_->stats().credit_in, most_window_);
        EXPECT_LE(dialler_->stats().credit_in, most_window_);
    }

    static constexpr std::int64_t most_window_ = (256 << 10) + 400'032;
    SimOptions options_;
    Random random_;
    TimePoint now_{std::chrono::hours{1}};
    std::map<StreamId, SimCall> calls_;
    StreamId next_ = 1;
    bool broken_ = false;
    bool finishing_ = false;
    std::string to_acceptor_;
    std::string to_dialler_;
    Side caller_;
    Side worker_;
    std::unique_ptr<MuxSession> dialler_;
    std::unique_ptr<MuxSession> acceptor_;
};

/// Connections between two processes, whose bytes overtake each other as they like. Each process
/// has one budget for all of them; some may break while the others go on.
class NetworkSimulation {
public:
    NetworkSimulation(std::uint64_t seed, SimOptions options)
        : steps_{options.steps}, random_{seed} {
        options.caller_budget = caller_;
        options.worker_budget = worker_;
        const auto count = 2 + random_.below(3);
        for (std::uint64_t i = 0; i < count; ++i)
            connections_.push_back(std::make_unique<Simulation>(seed * 16 + i, options));
    }

    void run() {
        for (int i = 0; i < steps_ * static_cast<int>(connections_.size()); ++i) {
            auto& connection = *connections_[random_.below(connections_.size())];
            if (connection.broken()) continue;
            connection.step();
            // What came over it goes with it, or nobody else would ever get the memory.
            if (connection.broken()) connection.check();
            check_budgets();
        }
        for (int round = 0; !finished(); ++round) {
            ASSERT_LT(round, Simulation::rounds_to_finish)
                << "somebody waits for ever: " << describe();
            for (auto& connection : connections_) {
                if (!connection->finished()) connection->finish_round();
            }
            check_budgets();
        }
        for (auto& connection : connections_) {
            if (!connection->broken()) connection->check();
        }
        EXPECT_EQ(caller_->reserved(), 0U);
        EXPECT_EQ(worker_->reserved(), 0U);
        connections_.clear();
        EXPECT_EQ(caller_->windows(), 0U);
        EXPECT_EQ(worker_->windows(), 0U);
    }

private:
    bool finished() const {
        return std::ranges::all_of(connections_, [](auto& one) { return one->finished(); });
    }
    std::string describe() const {
        std::string all;
        for (const auto& one : connections_) all += one->finished() ? "" : one->describe();
        return all;
    }
    void check_budgets() const {
        EXPECT_LE(caller_->reserved(), caller_->half());
        EXPECT_LE(worker_->reserved(), worker_->half());
    }

    int steps_;
    Random random_;
    // Less than two connections would take.
    std::shared_ptr<BufferBudget> caller_ = std::make_shared<BufferBudget>(800'000);
    std::shared_ptr<BufferBudget> worker_ = std::make_shared<BufferBudget>(800'000);
    std::vector<std::unique_ptr<Simulation>> connections_;
};

}  // namespace stator::transport::test
