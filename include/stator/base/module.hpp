// Parts of stator in files of their own, which are loaded when they are first needed.
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::inline base {

/// A module that has been loaded, for good: what it has started goes on until the process ends.
class Module {
public:
    /// What it is, for messages: the error's detail, the file, and "speaks with etcd".
    struct Name {
        std::string_view detail;
        std::string_view file;
        std::string_view purpose;
    };
    /// Blocks on the file system. `file` empty: from the first of `places` that has one. Errors:
    /// unimplemented `name.detail` naming what was tried.
    static Result<Module> load(const Name& name, const std::string& file);
    /// Where it is looked for, in this order: beside a program of the build or of an installation,
    /// then where it was to be installed.
    static std::vector<std::filesystem::path> places(std::string_view file);

    /// What is called in it: a function of C, after another (`int ()`) has told its version.
    struct Entry {
        const char* version_name;
        int version;
        const char* name;
    };
    /// Never null. Errors: unimplemented with the name's detail, of another library or version.
    template <class Function>
    Result<Function> find(const Entry& entry) const {
        const auto found = checked(entry);
        if (!found) return std::unexpected{found.error()};
        return reinterpret_cast<Function>(*found);
    }

private:
    Module(const Name& name, std::string file, void* handle);
    Result<void*> checked(const Entry& entry) const;
    Name name_;
    std::string file_;
    void* handle_;
};

}  // namespace stator::inline base
