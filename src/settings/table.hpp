// The one table of all settings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "settings/kinds.hpp"

namespace stator::settings {

struct Key {
    std::string_view name;  ///< "system.port": its path in a TOML file
    std::string_view
        flat_name;  ///< the original's name at the top level of a TOML file; may be empty
    std::vector<std::string_view> variables;  ///< the first that is set counts
    Kind kind;
    std::string_view default_text;  ///< for the reference, where the value depends on the machine
    std::string_view description;
};

// Of events and of NATS.
void add_event_keys(std::vector<Key>& keys);
void add_nats_keys(std::vector<Key>& keys);

/// Every setting, in the order in which they are listed.
const std::vector<Key>& all_keys();

// Parts of it, each in its place.
void add_control_keys(std::vector<Key>& keys);
void add_lease_keys(std::vector<Key>& keys);
void add_logging_keys(std::vector<Key>& keys);
void add_log_shipping_keys(std::vector<Key>& keys);

/// Variables that are understood without being a setting: they say where settings are.
inline constexpr std::string_view root_variable = "DYN_CONFIG_ROOT";
inline constexpr std::string_view logging_path_variable = "DYN_LOGGING_CONFIG_PATH";

/// Whether the original knows the name and nothing here does: it is accepted, and said to be
/// without effect.
bool is_foreign_variable(std::string_view name) noexcept;
bool is_foreign_key(std::string_view name) noexcept;

}  // namespace stator::settings
