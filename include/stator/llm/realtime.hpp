// Realtime: the events of a WebSocket session, both ways.
#pragma once

#include <string>

#include "stator/llm/json_text.hpp"

namespace stator::llm {

/// An event as it is, {"type":...,...}. The handler of a realtime model is
///
///     Stream<RealtimeEvent> talk(Context, Stream<RealtimeEvent> events);
///
/// What it yields must be whole events of the API: a frontend ends the session at any other. Its
/// end closes the WebSocket; the client's end stops the request.
struct RealtimeEvent {
    std::string type;  ///< read from the event
    JsonText json;     ///< the whole event, its type included
};

}  // namespace stator::llm

/// Reading fails with invalid_request "openai.type" for an event without a type.
template <>
struct stator::PayloadValue<stator::llm::RealtimeEvent> {
    static void write(ValueWriter& writer, const llm::RealtimeEvent& event) {
        PayloadValue<llm::JsonText>::write(writer, event.json);
    }
    static Result<llm::RealtimeEvent> read(ValueReader& reader);
};
