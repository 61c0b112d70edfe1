// What the process tells its parent, and how an error looks on stderr.
#pragma once

#include <string>

#include "stator/base/error.hpp"

namespace stator::cli {

/// The exit statuses of `stator`. They are a contract with scripts (docs/cli.md): never renumber.
inline constexpr int status_ok = 0;
inline constexpr int status_failed = 1;
inline constexpr int status_usage = 2;
inline constexpr int status_unavailable = 3;
inline constexpr int status_deadline = 4;
inline constexpr int status_overloaded = 5;
inline constexpr int status_cancelled = 6;

/// The status of a command that ended with an error of this class. (`status_usage` is not among
/// them: whether the command line or the worker refused the request is not in the class.)
int status_of(ErrorCode code) noexcept;

/// How a command ended badly.
struct Failure {
    int status = status_failed;
    Error error;

    /// The command line, the settings, the path or the request text is wrong.
    static Failure usage(Error error) { return {status_usage, std::move(error)}; }
    static Failure of(Error error) {
        const int status = status_of(error.code());
        return {status, std::move(error)};
    }
};

/// One line of JSON, without the line's end: {"error":{"code":..,"message":..,"detail":..,
/// "retryable":..,"context":[..],"cause":..}}; the last two only where there are any. Text that is
/// not UTF-8 is replaced, so the line can always be read.
std::string to_json(const Error& error);

/// Writes that line to stderr and returns the status.
int report(const Failure& failure);

}  // namespace stator::cli
