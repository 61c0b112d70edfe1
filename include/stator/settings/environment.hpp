// Environment variables as a value.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace stator::settings {

/// The variables that settings are read from: a copy, so tests can make their own.
class Environment {
public:
    Environment() = default;
    explicit Environment(std::map<std::string, std::string, std::less<>> variables) noexcept
        : variables_{std::move(variables)} {}

    /// Those of this process, as they are now. No other thread may change them meanwhile.
    static Environment of_process();

    /// The value without the white space around it; nothing if it is unset or empty.
    std::optional<std::string_view> get(std::string_view name) const noexcept;

    const std::map<std::string, std::string, std::less<>>& variables() const noexcept {
        return variables_;
    }

private:
    std::map<std::string, std::string, std::less<>> variables_;
};

}  // namespace stator::settings
