// Messages as they go over the wire.
#pragma once

#include <string>

#include "stator/http/message.hpp"

namespace stator::http {

struct Closing {
    bool close = false;      ///< the connection ends after this message
    bool head_only = false;  ///< the answer to HEAD: without its body
};
std::string text_of(const Response& response, Closing closing);
/// `host` is whom it is sent to.
std::string text_of(const Request& request, const std::string& host);

}  // namespace stator::http
