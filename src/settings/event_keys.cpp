// The settings of publishing and subscribing.
#include <array>

#include "settings/table.hpp"

namespace stator::settings {

namespace {

bool is_address(std::string_view text) {
    return text.find_first_of(" \t/") == std::string_view::npos;
}
bool is_not_empty(std::string_view text) { return !text.empty(); }

}  // namespace

void add_event_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"event.plane",
         "",
         {"DYN_EVENT_PLANE"},
         choice(
             [](auto& s) -> auto& { return s.event.plane; },
             std::array<std::string_view, 2>{"zmq", "nats"}
         ),
         "",
         "How events travel; with discovery in memory they stay in the process unless it is nats."}
    );
    keys.push_back(
        {"event.host",
         "",
         {"DYN_EVENT_PLANE_HOST"},
         text(
             [](auto& s) -> auto& { return s.event.host; },
             "a host name or address, a network interface, or nothing",
             is_address
         ),
         "what is bound",
         "The address that publishers over ZeroMQ are found at, if it is not what they bind."}
    );
    keys.push_back(
        {"event.module",
         "",
         {"DYN_EVENT_MODULE"},
         text([](auto& s) -> auto& { return s.event.module; }, "a file, or nothing", is_not_empty),
         "",
         "The module that speaks ZeroMQ, where it is not beside the program."}
    );
}

}  // namespace stator::settings
