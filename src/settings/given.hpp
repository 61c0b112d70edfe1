// A value as somebody wrote it, before it is understood.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::settings {

/// What kind of value a TOML file holds; variables are always text.
enum class Form : std::uint8_t { text, integer, fraction, boolean, list, other };

/// One value with its place: "/opt/dynamo/etc/runtime.toml:3" or "environment DYN_SYSTEM_PORT".
struct Given {
    std::string name;  ///< as written there: a dotted TOML path or a variable
    Form form = Form::text;
    std::string text;                ///< of a scalar
    std::vector<std::string> items;  ///< of a list of texts
    std::string source;
    bool from_variable = false;
};

/// All values of a TOML file, outer tables first. A list of anything but texts is of form `other`;
/// empty tables are too. Fails with "settings.file".
Result<std::vector<Given>> read_toml(const std::string& path);

}  // namespace stator::settings
