#include "stator/base/module.hpp"

#include <dlfcn.h>

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace stator::inline base {

namespace {

Error refusal(const Module::Name& name, std::string_view why) {
    return Error{
        ErrorCode::unimplemented,
        std::string{name.detail},
        fmt::format("the module that {} cannot be loaded: {}", name.purpose, why)
    };
}

std::string loader_error() {
    const char* const text = ::dlerror();
    return text == nullptr ? "no reason given" : text;
}

}  // namespace

Module::Module(const Name& name, std::string file, void* handle)
    : name_{name}, file_{std::move(file)}, handle_{handle} {}

std::vector<std::filesystem::path> Module::places(std::string_view file) {
    std::vector<std::filesystem::path> found;
    std::error_code ignored;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
    if (!ignored) {
        const auto folder = program.parent_path();
        found.push_back(folder / file);
        found.push_back(folder.parent_path() / "lib" / "stator" / file);
        found.push_back(folder.parent_path().parent_path() / "lib" / "stator" / file);
    }
    found.emplace_back(std::filesystem::path{STATOR_MODULE_FOLDER} / file);
    return found;
}

Result<Module> Module::load(const Name& name, const std::string& file) {
    auto chosen = file;
    if (chosen.empty()) {
        const auto tried = places(name.file);
        for (const auto& place : tried) {
            std::error_code ignored;
            if (chosen.empty() && std::filesystem::exists(place, ignored)) chosen = place.string();
        }
        if (chosen.empty()) {
            std::vector<std::string> all;
            for (const auto& place : tried) all.push_back(place.string());
            return std::unexpected{
                refusal(name, fmt::format("there is none of {}", fmt::join(all, ", ")))
            };
        }
    }
    void* const handle = ::dlopen(chosen.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr) return std::unexpected{refusal(name, loader_error())};
    return Module{name, std::move(chosen), handle};
}

Result<void*> Module::checked(const Entry& entry) const {
    const auto refuse = [this](std::string_view why) {
        return std::unexpected{refusal(name_, fmt::format("{} {}", file_, why))};
    };
    const auto version = reinterpret_cast<int (*)()>(::dlsym(handle_, entry.version_name));
    void* const found = ::dlsym(handle_, entry.name);
    if (version == nullptr || found == nullptr) return refuse("is another library");
    if (version() != entry.version) return refuse("is of another version");
    return found;
}

}  // namespace stator::inline base
