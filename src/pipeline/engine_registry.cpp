#include "stator/pipeline/engine_registry.hpp"

#include <cxxabi.h>

#include <cstdlib>

#include <fmt/format.h>

namespace stator::inline pipeline {

namespace {

std::string readable(std::type_index type) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> name{
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free
    };
    return status == 0 ? name.get() : type.name();
}

}  // namespace

Result<void> EngineRegistry::add(std::string name, AnyEngine engine) {
    const std::lock_guard guard{lock_};
    const auto [place, added] = engines_.try_emplace(std::move(name), std::move(engine));
    if (added) return {};
    return fail(
        ErrorCode::already_exists,
        "pipeline.engine_exists",
        fmt::format("there is an engine \"{}\" already", place->first)
    );
}

bool EngineRegistry::remove(std::string_view name) {
    const std::lock_guard guard{lock_};
    const auto found = engines_.find(name);
    if (found == engines_.end()) return false;
    engines_.erase(found);
    return true;
}

std::vector<std::string> EngineRegistry::names() const {
    const std::lock_guard guard{lock_};
    std::vector<std::string> all;
    all.reserve(engines_.size());
    for (const auto& [name, engine] : engines_) all.push_back(name);
    return all;
}

Result<AnyEngine> EngineRegistry::find(std::string_view name) const {
    const std::lock_guard guard{lock_};
    if (const auto found = engines_.find(name); found != engines_.end()) return found->second;
    return fail(
        ErrorCode::not_found, "pipeline.no_engine", fmt::format("there is no engine \"{}\"", name)
    );
}

Error EngineRegistry::wrong_type(
    std::string_view name, const AnyEngine& engine, std::type_index in, std::type_index out
) {
    return Error{
        ErrorCode::invalid_request,
        "pipeline.engine_type",
        fmt::format(
            "engine \"{}\" is Engine<{}, {}>, asked for as Engine<{}, {}>",
            name,
            readable(engine.request_type()),
            readable(engine.response_type()),
            readable(in),
            readable(out)
        )
    };
}

}  // namespace stator::inline pipeline
