// Base64, in the spelling of subjects and digests and in that of the server's API.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stator::nats {

/// With "-" and "_", and "=" at the end.
std::string to_base64url(std::string_view bytes);
/// With "+" and "/"; nothing if it is not such text.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace stator::nats
