// frontend<In, Out>().link(stage)...link(engine): a pipeline as one engine.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "stator/pipeline/item_steps.hpp"
#include "stator/pipeline/operator.hpp"

namespace stator::inline pipeline {

namespace detail {

/// A stage of the library that takes its types from where it stands: `bind<In, Out>()` makes the
/// operator.
template <class Stage, class In, class Out>
concept BindsTo = requires(Stage stage) {
    { std::move(stage).template bind<In, Out>() } -> IsOperator;
};

struct NoStep {};

template <class...>
inline constexpr bool never = false;

}  // namespace detail

/// A pipeline that is being built: it is asked with `In` and answers with `Out`; what is linked
/// next is asked with `DownIn` and answers with `DownOut`. A value; each `link` uses it up.
///
/// Types that do not meet do not compile; where types are not known before the program runs, see
/// edges.hpp.
template <
    class In,
    class Out,
    class DownIn,
    class DownOut,
    class Finish,
    class Step = detail::NoStep>
class [[nodiscard]] Linking {
public:
    explicit Linking(Finish finish, Step step = {})
        : finish_{std::move(finish)}, step_{std::move(step)} {}

    /// A stage: an Operator, or one of the library (item_steps.hpp, operators.hpp). Or, as the
    /// last, an AsyncEngine of DownIn and DownOut: then this returns the pipeline, an
    /// Engine<In, Out>.
    template <class Stage>
    auto link(Stage stage) && {
        if constexpr (detail::IsItemStep<Stage>::value) {
            return std::move(*this).link_step(std::move(stage));
        } else if constexpr (detail::IsOperator<Stage>) {
            return std::move(*this).link_operator(std::move(stage));
        } else if constexpr (detail::BindsTo<Stage, DownIn, DownOut>) {
            return std::move(*this).link_operator(std::move(stage).template bind<DownIn, DownOut>()
            );
        } else if constexpr (AsyncEngine<Stage, DownIn, DownOut>) {
            return std::move(*this).finish(Engine<DownIn, DownOut>{std::move(stage)});
        } else {
            static_assert(
                detail::never<Stage>,
                "linking: this is neither an operator nor an engine of the types that the stage "
                "before it asks with and wants as answers (DownIn and DownOut of Linking)"
            );
        }
    }

private:
    template <class, class, class, class, class, class>
    friend class Linking;

    /// What has been linked so far, on top of an engine.
    auto finish(Engine<DownIn, DownOut> engine) && {
        if constexpr (std::same_as<Step, detail::NoStep>) {
            return finish_(std::move(engine));
        } else {
            // Steps leave the request as it is, and know what their answer becomes.
            using Up = typename Step::template UpOf<ReplyItem<DownOut>>;
            using UpOut = typename detail::SameShape<Up, DownOut>::Type;
            return finish_(Engine<DownIn, UpOut>{
                detail::Steps<Step, DownIn, DownOut, UpOut>{std::move(step_), std::move(engine)}
            });
        }
    }

    template <class Added>
    auto link_step(Added added) && {
        using Up = ReplyItem<DownOut>;
        using Down = typename Added::template DownOf<Up>;
        static_assert(
            std::same_as<typename Added::template UpOf<Down>, Up>,
            "linking: the step makes items of another type than the stage before it wants"
        );
        using Next = typename detail::SameShape<Down, DownOut>::Type;
        if constexpr (std::same_as<Step, detail::NoStep>) {
            return Linking<In, Out, DownIn, Next, Finish, Added>{
                std::move(finish_), std::move(added)
            };
        } else {
            using Both = detail::StepPair<Step, Added>;
            return Linking<In, Out, DownIn, Next, Finish, Both>{
                std::move(finish_), Both{std::move(step_), std::move(added)}
            };
        }
    }

    template <detail::IsOperator Op>
    auto link_operator(Op op) && {
        using Types = detail::TypesOf<Op>;
        static_assert(
            std::same_as<typename Types::UpIn, DownIn>,
            "linking: the operator takes requests of another type than the stage before it makes"
        );
        static_assert(
            std::same_as<typename Types::UpOut, DownOut>,
            "linking: the operator answers with another type than the stage before it wants"
        );
        using NextIn = typename Types::DownIn;
        using NextOut = typename Types::DownOut;
        auto more = [before = std::move(*this),
                     op = std::move(op)](Engine<NextIn, NextOut> next) mutable {
            return std::move(before).finish(
                Engine<DownIn, DownOut>{detail::Stacked<Op>{std::move(op), std::move(next)}}
            );
        };
        return Linking<In, Out, NextIn, NextOut, decltype(more)>{std::move(more)};
    }

    Finish finish_;
    [[no_unique_address]] Step step_;
};

/// The beginning of a pipeline that is asked with `In` and answers with `Out`.
template <class In, class Out>
auto frontend() {
    auto finish = [](Engine<In, Out> engine) { return engine; };
    return Linking<In, Out, In, Out, decltype(finish)>{finish};
}

}  // namespace stator::inline pipeline
