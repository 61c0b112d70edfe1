// ObjectUrl: where an object is, in one line: nats://host:port/bucket/name.
#pragma once

#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::nats {

struct ObjectUrl {
    std::string server;  ///< "nats://host:port" or "tls://host:port", as ClientOptions have it
    std::string bucket;
    std::string name;  ///< may have slashes

    /// Errors: invalid_request "nats.object_url".
    static Result<ObjectUrl> parse(std::string_view text);
    /// What of the name is no letter, digit or one of "-._~/" is written as %XX.
    std::string to_string() const;
    friend bool operator==(const ObjectUrl&, const ObjectUrl&) = default;
};

}  // namespace stator::nats
