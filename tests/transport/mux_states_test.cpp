// Every frame in every state of a call.
#include "tests/transport/mux_support.hpp"

namespace stator::transport::test {
namespace {

/// The tables of docs/protocol/mux.md, section 3.12: what becomes of each frame in each state.
/// "-": accepted or dropped without a violation; else the detail key, with "!" if the connection
/// ends.
struct StateRow {
    std::string name;
    std::string bytes;
    std::vector<std::string> by_state;
};

std::string outcome(const Events& events) {
    for (const auto& event : events) {
        if (event.starts_with("closed")) return event.substr(event.rfind(' ') + 1) + "!";
    }
    for (const auto& event : events) {
        if (event.starts_with("violation")) return event.substr(event.rfind(' ') + 1);
    }
    return events.empty() ? "drop" : "takes";
}

TEST(MuxStates, EveryFrameAtTheWorker) {
    const std::string unknown = "mux.unknown_stream!";
    const std::string reuse = "mux.stream_reuse!";
    const std::string after = "mux.data_after_end";
    const std::string wrong = "mux.unexpected_frame!";
    // idle, open, half, over by kill, over by our end, released
    const StateRow rows[] = {
        {"open",
         open(1, CallShape::bidirectional, "q", message_flag),
         {"takes", reuse, reuse, reuse, reuse, reuse}},
        {"data", data(1, "x"), {unknown, "takes", after, "drop", "drop", "drop"}},
        {"data end",
         data(1, "x", message_flag | end_flag),
         {unknown, "takes", after, "drop", "drop", "drop"}},
        {"end", frame(end_frame, 0, 1, ""), {unknown, "takes", after, "drop", "drop", "drop"}},
        {"stop", frame(stop_frame, 0, 1, u8(1)), {unknown, "takes", "takes", "drop", "drop", "drop"}
        },
        {"kill", frame(kill_frame, 0, 1, u8(1)), {unknown, "takes", "takes", "drop", "drop", "drop"}
        },
        {"reset",
         frame(reset_frame, 0, 1, error_block(1, "", "")),
         {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"credit",
         frame(credit_frame, 0, 1, u32(1)),
         {unknown, "drop", "drop", "drop", "drop", "drop"}},
        {"accept", frame(accept_frame, 0, 1, ""), {wrong, wrong, wrong, wrong, wrong, wrong}},
        {"error",
         frame(error_frame, 0, 1, error_block(1, "", "")),
         {wrong, wrong, wrong, wrong, wrong, wrong}},
    };
    for (const auto& row : rows) {
        for (std::size_t state = 0; state < row.by_state.size(); ++state) {
            Acceptor worker;
            if (state > 0) worker.feed(open(1, CallShape::bidirectional, "", 0));
            if (state == 2) worker.feed(frame(end_frame, 0, 1, ""));
            if (state == 3) worker.feed(frame(kill_frame, 0, 1, u8(1)));
            if (state >= 4) worker.session.end(1);
            if (state == 5) worker.session.release(1);
            EXPECT_EQ(outcome(worker.feed(row.bytes)), row.by_state[state])
                << row.name << " in state " << state;
        }
    }
}

TEST(MuxStates, EveryFrameAtTheCaller) {
    const std::string unknown = "mux.unknown_stream!";
    const std::string wrong = "mux.unexpected_frame!";
    // idle, open, accepted, over by its end, over by our kill, released
    const StateRow rows[] = {
        {"accept",
         frame(accept_frame, 0, 1, ""),
         {unknown, "takes", "mux.unexpected_accept", "drop", "drop", "drop"}},
        {"data", data(1, "x"), {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"data end",
         data(1, "x", message_flag | end_flag),
         {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"end", frame(end_frame, 0, 1, ""), {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"error",
         frame(error_frame, 0, 1, error_block(1, "", "")),
         {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"refused",
         frame(error_frame, refused_flag, 1, error_block(1, "", "")),
         {unknown, "takes", "mux.late_refusal", "drop", "drop", "drop"}},
        {"reset",
         frame(reset_frame, 0, 1, error_block(1, "", "")),
         {unknown, "takes", "takes", "drop", "drop", "drop"}},
        {"credit",
         frame(credit_frame, 0, 1, u32(1)),
         {unknown, "drop", "drop", "drop", "drop", "drop"}},
        {"open", open(1, CallShape::unary, "q"), {wrong, wrong, wrong, wrong, wrong, wrong}},
        {"stop", frame(stop_frame, 0, 1, u8(1)), {wrong, wrong, wrong, wrong, wrong, wrong}},
        {"kill", frame(kill_frame, 0, 1, u8(1)), {wrong, wrong, wrong, wrong, wrong, wrong}},
    };
    for (const auto& row : rows) {
        for (std::size_t state = 0; state < row.by_state.size(); ++state) {
            Dialler caller;
            if (state > 0) caller.open(CallShape::bidirectional);
            if (state == 2) caller.feed(frame(accept_frame, 0, 1, ""));
            if (state == 3) caller.feed(frame(end_frame, 0, 1, ""));
            if (state >= 4) caller.session.kill(1, CancelReason::requested);
            if (state == 5) caller.session.release(1);
            EXPECT_EQ(outcome(caller.feed(row.bytes)), row.by_state[state])
                << row.name << " in state " << state;
        }
    }
}

}  // namespace
}  // namespace stator::transport::test
