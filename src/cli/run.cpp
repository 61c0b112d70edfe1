#include <csignal>
#include <exception>
#include <utility>
#include <variant>

#include "cli/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/line_writer.hpp"

namespace stator::cli {

namespace {

struct Dispatch {
    int operator()(const ServeArguments& arguments) const { return serve(arguments); }
    int operator()(const CallArguments& arguments) const { return call(arguments); }
    int operator()(const BenchArguments& arguments) const { return bench(arguments); }
    int operator()(const ListArguments& arguments) const { return list(arguments); }
    int operator()(const WatchArguments& arguments) const { return watch(arguments); }
    int operator()(const DoctorArguments& arguments) const { return doctor(arguments); }
    int operator()(const ControlArguments& arguments) const { return control(arguments); }
    int operator()(const ConfigArguments& arguments) const { return show_config(arguments); }
    int operator()(const KvArguments& arguments) const { return kv(arguments); }
    int operator()(const LockArguments& arguments) const { return lock(arguments); }
    int operator()(const BarrierArguments& arguments) const { return barrier(arguments); }
    int operator()(const NatsInfoArguments& arguments) const { return nats_info(arguments); }
    int operator()(const ObjectArguments& arguments) const { return nats_object(arguments); }
    int operator()(const EventArguments& arguments) const { return events(arguments); }
    int operator()(const Text& known) const {
        const auto printed = print(known.text);
        return printed ? status_ok : report(Failure{status_failed, printed.error()});
    }
};

Failure failure_of(std::exception_ptr exception) {
    return Failure::of(to_error(std::move(exception)));
}

}  // namespace

int run(int argc, const char* const* argv) {
    // A reader that went away is an error of the write, not the end of the process.
    std::signal(SIGPIPE, SIG_IGN);
    std::exception_ptr exception;
    try {
        const auto arguments = parse_arguments(argc, argv);
        if (!arguments) return report(Failure::usage(arguments.error()));
        return std::visit(Dispatch{}, *arguments);
    } catch (const std::exception&) {
        exception = std::current_exception();
    }
    return report(failure_of(std::move(exception)));
}

}  // namespace stator::cli
