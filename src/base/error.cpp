#include "stator/base/error.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <ranges>
#include <utility>

namespace stator::inline base {

namespace {

struct NamedCode {
    ErrorCode code;
    std::string_view name;
};

// In wire order, so that the entry of code n is at n - 1.
constexpr std::array<NamedCode, 15> named_codes{{
    {ErrorCode::invalid_request, "invalid_request"},
    {ErrorCode::unauthenticated, "unauthenticated"},
    {ErrorCode::permission_denied, "permission_denied"},
    {ErrorCode::not_found, "not_found"},
    {ErrorCode::already_exists, "already_exists"},
    {ErrorCode::payload_too_large, "payload_too_large"},
    {ErrorCode::overloaded, "overloaded"},
    {ErrorCode::unavailable, "unavailable"},
    {ErrorCode::draining, "draining"},
    {ErrorCode::cancelled, "cancelled"},
    {ErrorCode::deadline_exceeded, "deadline_exceeded"},
    {ErrorCode::disconnected, "disconnected"},
    {ErrorCode::protocol, "protocol"},
    {ErrorCode::unimplemented, "unimplemented"},
    {ErrorCode::internal, "internal"},
}};

}  // namespace

std::string_view to_string(ErrorCode code) noexcept {
    const auto index = static_cast<std::size_t>(code) - 1;
    return index < named_codes.size() ? named_codes[index].name : "internal";
}

std::optional<ErrorCode> error_code_from_name(std::string_view name) noexcept {
    for (const auto& entry : named_codes) {
        if (entry.name == name) return entry.code;
    }
    return std::nullopt;
}

ErrorCode error_code_from_wire(std::uint8_t number) noexcept {
    const bool known = number >= 1 && number <= named_codes.size();
    return known ? static_cast<ErrorCode>(number) : ErrorCode::internal;
}

bool retryable_by_default(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::overloaded:
        case ErrorCode::unavailable:
        case ErrorCode::draining:
        case ErrorCode::disconnected:
            return true;
        default:
            return false;
    }
}

struct Error::State {
    ErrorCode code = ErrorCode::internal;
    bool retryable = false;
    std::string detail;
    std::string message;
    std::vector<std::string> context;
    std::optional<Error> cause;
    // Written at most once, by whoever asks first: most errors travel without ever being printed.
    mutable std::atomic<const std::string*> line{nullptr};

    State() = default;
    State(const State& other)
        : code{other.code},
          retryable{other.retryable},
          detail{other.detail},
          message{other.message},
          context{other.context},
          cause{other.cause} {}
    State& operator=(const State&) = delete;
    ~State() { delete line.load(std::memory_order_acquire); }

    static const State& of(const Error& error) noexcept;
    std::string to_line() const;
};

const Error::State& Error::State::of(const Error& error) noexcept {
    // A moved-from Error stays readable: error paths are where such slips surface.
    static const State& moved_from = *new State{};
    return error.state_ ? *error.state_ : moved_from;
}

std::string Error::State::to_line() const {
    std::string text;
    for (const auto& doing : std::views::reverse(context)) text.append(doing).append(": ");
    text.append(to_string(code));
    if (!detail.empty()) text.append(" [").append(detail).append("]");
    text.append(": ").append(message);
    if (cause) text.append(" (cause: ").append(cause->what()).append(")");
    return text;
}

Error::Error(ErrorCode code, std::string message)
    : Error{code, std::string{}, std::move(message)} {}

Error::Error(ErrorCode code, std::string detail, std::string message) {
    auto state = std::make_shared<State>();
    state->code = code;
    state->retryable = retryable_by_default(code);
    state->detail = std::move(detail);
    state->message = std::move(message);
    state_ = std::move(state);
}

Error::Error(std::shared_ptr<const State> state) noexcept : state_{std::move(state)} {}

ErrorCode Error::code() const noexcept { return State::of(*this).code; }
const std::string& Error::message() const noexcept { return State::of(*this).message; }
const std::string& Error::detail() const noexcept { return State::of(*this).detail; }
bool Error::retryable() const noexcept { return State::of(*this).retryable; }

const std::vector<std::string>& Error::context() const noexcept { return State::of(*this).context; }

const Error* Error::cause() const noexcept {
    const auto& cause = State::of(*this).cause;
    return cause ? &*cause : nullptr;
}

Error Error::with_context(std::string doing) const {
    auto state = std::make_shared<State>(State::of(*this));
    state->context.push_back(std::move(doing));
    return Error{std::move(state)};
}

Error Error::with_cause(Error cause) const {
    auto state = std::make_shared<State>(State::of(*this));
    state->cause.emplace(std::move(cause));
    return Error{std::move(state)};
}

Error Error::with_retryable(bool retryable) const {
    auto state = std::make_shared<State>(State::of(*this));
    state->retryable = retryable;
    return Error{std::move(state)};
}

Error Error::with_detail(std::string detail) const {
    auto state = std::make_shared<State>(State::of(*this));
    state->detail = std::move(detail);
    return Error{std::move(state)};
}

const char* Error::what() const noexcept {
    const auto& state = State::of(*this);
    if (const auto* line = state.line.load(std::memory_order_acquire)) return line->c_str();
    try {
        auto fresh = std::make_unique<const std::string>(state.to_line());
        const std::string* expected = nullptr;
        if (state.line.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel)) {
            return fresh.release()->c_str();
        }
        return expected->c_str();
    } catch (const std::bad_alloc&) {
        return state.message.c_str();
    }
}

Error to_error(std::exception_ptr exception) noexcept {
    // Made while there is memory: the one error that must exist when nothing can be allocated.
    static const Error& no_memory = *new Error{ErrorCode::internal, "out of memory"};
    try {
        if (!exception) return Error{ErrorCode::internal, "no exception"};
        try {
            std::rethrow_exception(std::move(exception));
        } catch (const Error& error) {
            return error;
        } catch (const std::bad_alloc&) {
            return no_memory;
        } catch (const std::exception& other) {
            return Error{ErrorCode::internal, other.what()};
        } catch (...) {
            return Error{ErrorCode::internal, "an exception that is no std::exception"};
        }
    } catch (const std::bad_alloc&) {
        return no_memory;
    }
}

}  // namespace stator::inline base
