// What travels over NATS: a subject, a payload, headers, and where an answer goes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"

namespace stator::nats {

struct Header {
    std::string key;
    std::string value;
    friend bool operator==(const Header&, const Header&) = default;
};

/// What is to be published. A value.
struct Publication {
    std::string subject{};
    Bytes payload{};
    std::vector<Header> headers{};
    std::string reply{};  ///< where an answer goes; empty: none is wanted

    /// What the server counts against its limit: the payload, and the headers as they are written.
    std::size_t size() const noexcept;
    /// Errors: invalid_request "nats.subject", "nats.header".
    Result<void> check() const;
};

/// The status of what a subscription gets when the connection was lost, if it wants to know.
inline constexpr int connection_lost = -1;
/// The status of the server's answer to a request for which there is no subscriber.
inline constexpr int no_responders = 503;

/// What has come. A value.
struct Message {
    std::string subject{};
    std::string reply{};
    Bytes payload{};
    std::vector<Header> headers{};
    int status = 0;  ///< of the server's own messages, such as 503; 0: of a client

    /// The first header of that name, in any case; null if there is none.
    const std::string* header(std::string_view key) const noexcept;
    std::size_t size() const noexcept;
};

/// Whether a message may be sent to `subject`: parts between dots, none empty, no wildcard, nothing
/// that a line of the protocol could be broken with.
bool is_subject(std::string_view subject) noexcept;
/// The same for a subscription, where a part may be `*` and the last one `>`.
bool is_pattern(std::string_view pattern) noexcept;

}  // namespace stator::nats
