// `probe job.json`: load the artefact, take the job's steps, print records; exit 0, or 3 after `failed`.
//
// The same job and the same records as `python -m probe` (runtime_checks/probe), for ExecuTorch without Python.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

#include "clock.hpp"
#include "failure.hpp"
#include "host.hpp"
#include "memory.hpp"
#include "model.hpp"
#include "records.hpp"
#include "steps.hpp"

namespace probe {

constexpr int FAILED = 3;
constexpr const char* BACKEND = "backend_executorch";

static void require_known(const std::string& name) {
    std::set<std::string> known = {"memory"};
    for (const auto& each : steps()) known.insert(each.first);
    if (known.count(name)) return;
    std::string listed;
    for (const std::string& each : known) listed += (listed.empty() ? "" : ", ") + each;
    throw Failure("ValueError", "unknown step '" + name + "': the known ones are " + listed);
}

static Json read_job(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw Failure("FileNotFoundError", "cannot open " + path + ": " + std::strerror(errno));
    const Json job = Json::parse(file);
    const Json protocol = job.value("protocol", Json());
    if (protocol != PROTOCOL)
        throw Failure("ValueError", "the job speaks protocol " + protocol.dump() + ", this probe "
                                        + std::to_string(PROTOCOL));
    for (const Json& step : job.at("steps")) require_known(step.at("step"));
    return job;
}

// End this process when its standard input closes: whoever asked for the measurements is gone.
static void exit_with_parent() {
    char bytes[4096];
    while (read(0, bytes, sizeof bytes) > 0) {
    }
    _exit(FAILED);
}

// The libraries, the model, then the steps in their order; `stage` names what is under way for a failure's record.
static void take(const Json& job, Records& records, std::string& stage) {
    Json host = facts();
    host["threads"] = job.at("threads");
    records.emit("host", host);
    stage = "imports";
    const std::string backend = job.at("backend");
    if (backend != BACKEND) throw Failure("ValueError", "'" + backend + "' is no backend module of this probe");
    double start = now();
    load_libraries();
    records.emit("imports", {{"seconds", now() - start}, {"memory", described(read_memory())}});
    stage = "load";
    Sampler sampler;
    start = now();
    Model model(job.at("artefact"), job.at("context"), job.at("threads"));
    records.emit("load", {{"seconds", now() - start},
                          {"memory", described(read_memory())},
                          {"versions", model.versions()},
                          {"chat_template", nullptr}});
    const Json& asked = job.at("steps");
    for (size_t index = 0; index < asked.size(); ++index) {
        stage = asked[index].at("step");
        records.emit("step", {{"step", stage}, {"number", index + 1}, {"of", asked.size()}});
        if (stage == "memory")
            records.emit("memory", sampler.stop());
        else
            steps().at(stage)(model, records, asked[index]);
    }
    records.emit("done", {{"load_average", load_average()}});
}

static int run(const std::string& job_file) {
    Records records;
    std::string stage = "job";
    const auto failed = [&](const std::string& kind, const std::string& sentence) {
        records.emit("failed", {{"stage", stage}, {"kind", kind}, {"error", sentence}});
        return FAILED;
    };
    try {
        const Json job = read_job(job_file);
        if (job.value("watch_stdin", false)) std::thread(exit_with_parent).detach();
        take(job, records, stage);
    } catch (const Failure& failure) {
        return failed(failure.kind(), failure.what());
    } catch (const Json::exception& error) {
        return failed("ValueError", std::string("the job: ") + error.what());
    } catch (const std::bad_alloc&) {
        return failed("MemoryError", "there is not enough memory");
    } catch (const std::exception& error) {  // the process's edge: whatever else there is, is a result
        return failed("RuntimeError", error.what());
    }
    return 0;
}

}  // namespace probe

int main(int argc, char** argv) {
    if (argc != 2) {
        const char usage[] = "usage: probe JOB.json\n";
        return write(2, usage, sizeof usage - 1) < 0 ? 1 : 2;
    }
    _exit(probe::run(argv[1]));  // without the teardown of what lives as long as the process
}
