// map_request: changes the request on its way; stage: notes when it came by.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include "stator/pipeline/operator.hpp"

namespace stator::inline pipeline {

namespace detail {

/// An answer that is an error.
template <class Out>
Reply<Out> failed(std::exception_ptr error) {
    co_await current_env();  // which makes this a coroutine
    std::rethrow_exception(std::move(error));
}

template <class F, class In, class Out>
struct MappedRequest {
    using DownIn = std::remove_cvref_t<std::invoke_result_t<F&, In>>;

    class Op final : public Operator<In, Out, DownIn, Out> {
    public:
        explicit Op(F function) : function_{std::move(function)} {}
        Reply<Out> generate(Context context, In request, Engine<DownIn, Out> next) override {
            try {
                return next.generate(std::move(context), function_(std::move(request)));
            } catch (...) {
                return failed<Out>(std::current_exception());
            }
        }

    private:
        F function_;
    };
};

template <class F>
struct RequestMap {
    F function;
    template <class In, class Out>
        requires std::is_invocable_v<F&, In>
    auto bind() && {
        return typename MappedRequest<F, In, Out>::Op{std::move(function)};
    }
};

struct StageMark {
    std::string name;

    template <class In, class Out>
    class Op final : public Operator<In, Out, In, Out> {
    public:
        explicit Op(std::string name_) : name_{std::move(name_)} {}
        Reply<Out> generate(Context context, In request, Engine<In, Out> next) override {
            context.mark_stage(name_);
            return next.generate(std::move(context), std::move(request));
        }

    private:
        std::string name_;
    };
    template <class In, class Out>
    auto bind() && {
        return Op<In, Out>{std::move(name)};
    }
};

}  // namespace detail

/// Asks what comes next with `function(request)`: a transform of the request edge alone. What it
/// throws is the answer.
template <class F>
auto map_request(F function) {
    return detail::RequestMap<F>{std::move(function)};
}

/// Writes down in the context when each request comes by (Context::stages).
inline auto stage(std::string name) { return detail::StageMark{std::move(name)}; }

}  // namespace stator::inline pipeline
