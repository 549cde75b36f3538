/* A simulated libnvidia-ml.so.1: what bench.telemetry.sources.nvml calls, with the structures of NVIDIA's binding.
 *
 * Every quantity is a curve over time whose integral is known in closed form, so that counters (energy, bytes, time
 * throttled) are exact. A scenario file, named by NVML_SCENARIO and read at nvmlInit, says what the machine has and what
 * goes wrong when. Time is CLOCK_MONOTONIC, in seconds since the scenario's epoch (or since nvmlInit).
 *
 * Lines of a scenario ("GPU" is an index or *; "#" begins a comment):
 *   gpus N                                       how many GPUs (default 1, at most 64)
 *   epoch FILE                                   time zero, a double (s of CLOCK_MONOTONIC) in its first 8 bytes
 *   clock FILE                                   time is not the clock's but the double (s) in this file's first 8 bytes
 *   init CODE                                    nvmlInit fails
 *   opens S                                      nvmlInit takes as long
 *   driver TEXT | cuda N                         versions
 *   latency US sleep|busy                        what each call costs
 *   log FILE                                     a line "SECONDS GPU FUNCTION" for each call
 *   set GPU QUANTITY CURVE...                    see quantities[] and read_curve()
 *   sensor GPU QUANTITY PERIOD_S [AVERAGE_S]     updated at multiples of the period; mean of the last AVERAGE_S
 *   lie GPU QUANTITY FROM_S TO_S VALUE           what the sensor says instead
 *   errors GPU QUANTITY AT_S COUNT               so many of what is counted (ecc_...), at once
 *   uuid GPU INDEX                               it tells the UUID of that GPU
 *   counter GPU PERIOD_S                         the energy counter moves at multiples of the period
 *   reset GPU AT_S                               counters of that GPU begin anew
 *   event GPU BITS FROM_S TO_S                   clock event reasons
 *   memory GPU includes|excludes                 whether v2's "used" holds what the driver reserves
 *   name GPU TEXT | capability GPU MAJOR MINOR
 *   mig GPU INSTANCES                            divides the GPU
 *   process GPU PID BYTES                        a process that computes there
 *   fault GPU CALL FROM_S TO_S error CODE | hang | frozen | every N CODE
 *        CALL: a function without "nvmlDevice", field:ID, or *. "hang" blocks until TO_S. "frozen" answers as at FROM_S.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST_GPUS = 64, MOST_LEVELS = 8, MOST_EVENTS = 16, MOST_FAULTS = 64, MOST_LIES = 8, MOST_PROCESSES = 64, MOST_INSTANCES = 7 };
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, MISMATCH = 25 };

/* ---- curves ------------------------------------------------------------------------------------------------------ */

/* Piecewise constant and periodic (level[i] for share[i] of each period), plus a sine of the same period. */
typedef struct {
    int levels;
    double level[MOST_LEVELS], share[MOST_LEVELS], period, amplitude;
} Curve;

static double value_at(const Curve *c, double t) {
    double phase = t / c->period - floor(t / c->period), edge = 0;
    int i = 0;
    while (i < c->levels - 1 && phase >= (edge += c->share[i])) i++;
    return c->level[i] + c->amplitude * sin(2 * M_PI * phase);
}

static double integral_to(const Curve *c, double t) {   /* from 0 to t */
    double whole = floor(t / c->period), phase = t / c->period - whole, mean = 0, part = 0, edge = 0;
    for (int i = 0; i < c->levels; i++) {
        mean += c->level[i] * c->share[i];
        part += c->level[i] * fmax(0, fmin(phase - edge, c->share[i]));
        edge += c->share[i];
    }
    return c->period * (whole * mean + part + c->amplitude * (1 - cos(2 * M_PI * phase)) / (2 * M_PI));
}

/* ---- what a machine has ------------------------------------------------------------------------------------------ */

enum { POWER, BUSY, MEMORY_BUSY, TEMPERATURE, MEMORY_TEMPERATURE, SM_CLOCK, MEMORY_CLOCK, MEMORY_USED, FAN, PCIE_SENT,
       PCIE_RECEIVED, NVLINK_SENT, NVLINK_RECEIVED, POWER_LIMIT, LINK_GENERATION, LINK_WIDTH, ECC_CORRECTED,
       ECC_UNCORRECTED, QUANTITIES };
static const struct { const char *name; double initial; } quantities[QUANTITIES] = {   /* SI; rates for what is counted */
    {"power_w", 100}, {"busy_ratio", 0.5}, {"memory_busy_ratio", 0.25}, {"temperature_c", 50},
    {"memory_temperature_c", 60}, {"sm_clock_hz", 1.41e9}, {"memory_clock_hz", 1.215e9}, {"memory_used_bytes", 2147483648.0},
    {"fan_ratio", 0.3}, {"pcie_sent_bytes_per_s", 1e9}, {"pcie_received_bytes_per_s", 2e9},
    {"nvlink_sent_bytes_per_s", 1.024e9}, {"nvlink_received_bytes_per_s", 2.048e9}, {"power_limit_w", 400},
    {"pcie_link_generation", 4}, {"pcie_link_width", 16}, {"ecc_corrected_per_s", 0}, {"ecc_uncorrected_per_s", 0},
};

typedef struct { int pid; unsigned long long bytes; } Process;
typedef struct { unsigned long long bits; double from, to; } Event;
typedef struct { int quantity; double from, to, value; } Lie;      /* of errors: "to" is not used */
typedef struct Device {
    int index, instance;                     /* instance: -1 for the whole GPU */
    struct Device *board;
    Curve curves[QUANTITIES];
    double period[QUANTITIES], average[QUANTITIES], counter_period, reset_at;
    int used_holds_reserved, instances, major, minor, events, processes, lies, errors, uuid;
    char name[96];
    Event event[MOST_EVENTS];
    Lie lie[MOST_LIES], error[MOST_LIES];
    Process process[MOST_PROCESSES];
} Device;
typedef enum { ERROR, HANG, FROZEN, EVERY } Kind;
typedef struct { int gpu; char call[64]; double from, to; Kind kind; int code, every, calls; } Fault;

static Device gpu[MOST_GPUS], part[MOST_GPUS][MOST_INSTANCES];
static Fault fault[MOST_FAULTS];
static int gpus, faults, init_code, cuda, is_busy, is_open, log_file = -1;
static double latency_s, opens_s, epoch_s;
static const double *stepped_clock, *moved_epoch_s;
static char driver[80];

static const double GIB = 1073741824.0;
#define TOTAL (80 * GIB)
#define RESERVED (0.5 * GIB)

static double monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static double now_s(void) {
    return stepped_clock ? *stepped_clock : monotonic_s() - (moved_epoch_s ? *moved_epoch_s : epoch_s);
}

static void wait_s(double seconds) {
    struct timespec rest = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    if (seconds > 0) nanosleep(&rest, NULL);
}

/* ---- the scenario ------------------------------------------------------------------------------------------------ */

static void wrong(const char *line) {
    fprintf(stderr, "nvml_simulator: cannot read '%s'\n", line);
    abort();
}

/* "constant V", "sine MEAN AMPLITUDE PERIOD", "square LOW HIGH PERIOD DUTY", "levels PERIOD V SHARE V SHARE ...", or
 * "training LOW HIGH STEP_S": a gap on the host, a forward pass at 0.8 of high, a backward pass at high. */
static void read_curve(Curve *c, const char *line, const char *text) {
    double a = 0, b = 0, p = 0, duty = 0;
    memset(c, 0, sizeof *c);
    c->period = 1, c->levels = 1, c->share[0] = 1;
    if (sscanf(text, "constant %lf", &c->level[0]) == 1) return;
    if (sscanf(text, "sine %lf %lf %lf", &c->level[0], &c->amplitude, &c->period) == 3) return;
    if (sscanf(text, "square %lf %lf %lf %lf", &a, &b, &p, &duty) == 4) {
        *c = (Curve){2, {a, b}, {1 - duty, duty}, p, 0};
    } else if (sscanf(text, "training %lf %lf %lf", &a, &b, &p) == 3) {
        *c = (Curve){3, {a, a + 0.8 * (b - a), b}, {0.15, 0.3, 0.55}, p, 0};
    } else {
        int used = 0;
        if (sscanf(text, "levels %lf%n", &c->period, &used) != 1) wrong(line);
        c->levels = 0;
        for (text += used; c->levels < MOST_LEVELS && sscanf(text, "%lf %lf%n", &a, &b, &used) == 2; text += used) {
            c->level[c->levels] = a;
            c->share[c->levels++] = b;
        }
        if (c->levels == 0) wrong(line);
    }
}

static int quantity(const char *name, const char *line) {
    for (int i = 0; i < QUANTITIES; i++)
        if (strcmp(quantities[i].name, name) == 0) return i;
    wrong(line);
    return -1;
}

static void read_fault(const char *line, int index) {
    char kind[16];
    Fault *f = &fault[faults++];
    int used = 0;
    if (faults > MOST_FAULTS) wrong(line);
    f->gpu = index;
    if (sscanf(line, "fault %*s %63s %lf %lf %15s%n", f->call, &f->from, &f->to, kind, &used) != 4) wrong(line);
    if (strcmp(kind, "error") == 0 && sscanf(line + used, "%d", &f->code) == 1) f->kind = ERROR;
    else if (strcmp(kind, "hang") == 0) f->kind = HANG;
    else if (strcmp(kind, "frozen") == 0) f->kind = FROZEN;
    else if (strcmp(kind, "every") == 0 && sscanf(line + used, "%d %d", &f->every, &f->code) == 2) f->kind = EVERY;
    else wrong(line);
}

static void read_gpu_line(const char *line, const char *word, Device *d) {
    char name[64], text[96];
    double a = 0, b = 0, c = 0;
    unsigned long long bits = 0;
    int used = 0, pid = 0;
    if (strcmp(word, "set") == 0 && sscanf(line, "set %*s %63s%n", name, &used) == 1)
        read_curve(&d->curves[quantity(name, line)], line, line + used + 1);
    else if (strcmp(word, "sensor") == 0 && sscanf(line, "sensor %*s %63s %lf %lf", name, &a, &b) >= 2) {
        d->period[quantity(name, line)] = a;
        d->average[quantity(name, line)] = b;
    } else if (strcmp(word, "counter") == 0 && sscanf(line, "counter %*s %lf", &a) == 1) d->counter_period = a;
    else if (strcmp(word, "reset") == 0 && sscanf(line, "reset %*s %lf", &a) == 1) d->reset_at = a;
    else if (strcmp(word, "event") == 0 && d->events < MOST_EVENTS
             && sscanf(line, "event %*s %lli %lf %lf", (long long *)&bits, &a, &b) == 3)
        d->event[d->events++] = (Event){bits, a, b};
    else if (strcmp(word, "lie") == 0 && d->lies < MOST_LIES && sscanf(line, "lie %*s %63s %lf %lf %lf", name, &a, &b, &c) == 4)
        d->lie[d->lies++] = (Lie){quantity(name, line), a, b, c};
    else if (strcmp(word, "errors") == 0 && d->errors < MOST_LIES && sscanf(line, "errors %*s %63s %lf %lf", name, &a, &b) == 3)
        d->error[d->errors++] = (Lie){quantity(name, line), a, 0, b};
    else if (strcmp(word, "uuid") == 0 && sscanf(line, "uuid %*s %d", &d->uuid) == 1) return;
    else if (strcmp(word, "memory") == 0 && sscanf(line, "memory %*s %63s", name) == 1)
        d->used_holds_reserved = strcmp(name, "includes") == 0;
    else if (strcmp(word, "name") == 0 && sscanf(line, "name %*s %95[^\n]", text) == 1) strcpy(d->name, text);
    else if (strcmp(word, "capability") == 0 && sscanf(line, "capability %*s %d %d", &d->major, &d->minor) == 2) return;
    else if (strcmp(word, "mig") == 0 && sscanf(line, "mig %*s %d", &d->instances) == 1 && d->instances <= MOST_INSTANCES)
        return;
    else if (strcmp(word, "process") == 0 && d->processes < MOST_PROCESSES
             && sscanf(line, "process %*s %d %llu", &pid, &bits) == 2)
        d->process[d->processes++] = (Process){pid, bits};
    else wrong(line);
}

/* Another process may change it. */
static const double *mapped(const char *path) {
    int file = open(path, O_RDONLY);
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) wrong(path);
    return page;
}

static void read_line(const char *line) {
    char word[32] = "", which[256] = "", how[16] = "";
    double us = 0;
    if (sscanf(line, "%31s %255s", word, which) < 1 || word[0] == '#') return;
    if (strcmp(word, "gpus") == 0) gpus = atoi(which);
    else if (strcmp(word, "epoch") == 0) moved_epoch_s = mapped(which);
    else if (strcmp(word, "init") == 0) init_code = atoi(which);
    else if (strcmp(word, "opens") == 0) opens_s = atof(which);
    else if (strcmp(word, "driver") == 0) sscanf(which, "%79s", driver);
    else if (strcmp(word, "cuda") == 0) cuda = atoi(which);
    else if (strcmp(word, "latency") == 0 && sscanf(line, "latency %lf %15s", &us, how) == 2) {
        latency_s = us * 1e-6;
        is_busy = strcmp(how, "busy") == 0;
    } else if (strcmp(word, "log") == 0) log_file = open(which, O_WRONLY | O_CREAT | O_APPEND, 0644);
    else if (strcmp(word, "clock") == 0) stepped_clock = mapped(which);
    else if (strcmp(word, "fault") == 0) read_fault(line, which[0] == '*' ? -1 : atoi(which));
    else if (which[0] == '*') for (int i = 0; i < MOST_GPUS; i++) read_gpu_line(line, word, &gpu[i]);
    else if (which[0] && atoi(which) >= 0 && atoi(which) < MOST_GPUS) read_gpu_line(line, word, &gpu[atoi(which)]);
    else wrong(line);
}

static void read_scenario(const char *path) {
    char line[512];
    gpus = 1, faults = init_code = is_busy = 0, cuda = 12040, latency_s = opens_s = 0, epoch_s = monotonic_s();
    strcpy(driver, "550.54.15");
    for (int i = 0; i < MOST_GPUS; i++) {
        Device *d = &gpu[i];
        *d = (Device){.index = i, .instance = -1, .uuid = i, .board = d, .counter_period = 0.1, .reset_at = -1, .major = 8};
        strcpy(d->name, "Simulated A100");
        for (int q = 0; q < QUANTITIES; q++) {
            d->curves[q] = (Curve){1, {quantities[q].initial}, {1}, 1, 0};
            d->period[q] = 0.1;
        }
        d->period[BUSY] = d->average[BUSY] = d->period[MEMORY_BUSY] = d->average[MEMORY_BUSY] = 1.0 / 6;
    }
    FILE *file = path ? fopen(path, "r") : NULL;
    if (path && !file) wrong(path);
    while (file && fgets(line, sizeof line, file)) read_line(line);
    if (file) fclose(file);
    if (gpus > MOST_GPUS) wrong("gpus");
    for (int i = 0; i < gpus; i++)
        for (int j = 0; j < MOST_INSTANCES; j++) {
            part[i][j] = gpu[i];
            part[i][j].instance = j;
            part[i][j].board = &gpu[i];
        }
}

/* ---- calls, with their faults ------------------------------------------------------------------------------------ */

/* The time at which a call looks (earlier where the sensor is frozen), and its error. */
static double look(Device *d, const char *call, int *code) {
    double t = now_s();
    *code = SUCCESS;
    for (int i = 0; i < faults; i++) {
        Fault *f = &fault[i];
        if ((f->gpu >= 0 && f->gpu != d->index) || (strcmp(f->call, "*") != 0 && strcmp(f->call, call) != 0)) continue;
        if (t < f->from || t >= f->to) continue;
        if (f->kind == ERROR) *code = f->code;
        else if (f->kind == HANG) { wait_s(f->to - t); t = now_s(); }
        else if (f->kind == FROZEN) return f->from;
        else if (++f->calls % f->every == 0) *code = f->code;
    }
    return t;
}

static double enter(Device *d, const char *call, int *code) {
    if (!is_open) { *code = UNINITIALIZED; return 0; }
    if (log_file >= 0) {
        char line[128];
        int n = snprintf(line, sizeof line, "%.6f %d %s\n", now_s(), d ? d->index : -1, call);
        if (write(log_file, line, n) != n) abort();
    }
    double until = monotonic_s() + latency_s;
    if (latency_s > 0 && !is_busy) wait_s(latency_s);
    while (monotonic_s() < until) continue;
    *code = SUCCESS;
    if (!d) return now_s();
    return look(d, call, code);
}

#define ENTER(device, call) int code; double t = enter(device, call, &code); (void)t; if (code) return code

static const Lie *lied(const Device *d, int q, double t) {
    for (int i = 0; i < d->lies; i++)
        if (d->lie[i].quantity == q && t >= d->lie[i].from && t < d->lie[i].to) return &d->lie[i];
    return NULL;
}

static double shown(const Device *d, int q, double t) {
    if (lied(d, q, t)) return lied(d, q, t)->value;
    double tick = d->period[q] > 0 ? floor(t / d->period[q] + 1e-9) * d->period[q] : t;
    if (d->average[q] <= 0) return value_at(&d->curves[q], tick);
    return (integral_to(&d->curves[q], tick) - integral_to(&d->curves[q], tick - d->average[q])) / d->average[q];
}

static double counted(const Device *d, int q, double t) {
    double from = d->reset_at >= 0 && t >= d->reset_at ? d->reset_at : 0, sum = 0;
    for (int i = 0; i < d->errors; i++)
        if (d->error[i].quantity == q && d->error[i].from <= t) sum += d->error[i].value;
    return t <= from ? sum : sum + integral_to(&d->curves[q], t) - integral_to(&d->curves[q], from);
}

static unsigned long long events_at(const Device *d, double t) {
    unsigned long long bits = 0;
    for (int i = 0; i < d->events; i++)
        if (t >= d->event[i].from && t < d->event[i].to) bits |= d->event[i].bits;
    return bits;
}

static unsigned long long throttled_ns(const Device *d, unsigned long long bits, double t) {
    double sum = 0;
    for (int i = 0; i < d->events; i++)
        if (d->event[i].bits & bits) sum += fmax(0, fmin(t, d->event[i].to) - d->event[i].from);
    return (unsigned long long)(sum * 1e9);
}

static int text(char *to, unsigned size, const char *from) {
    if (strlen(from) >= size) return TOO_SMALL;
    strcpy(to, from);
    return SUCCESS;
}

/* Not of NVML: the truth, to be compared with, in a scenario that need not be played. */
void simulated_open(const char *path) { read_scenario(path); }
double simulated_energy_j(int index, double from, double to) {
    return integral_to(&gpu[index].curves[POWER], to) - integral_to(&gpu[index].curves[POWER], from);
}

/* ---- NVML -------------------------------------------------------------------------------------------------------- */

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } PciInfo;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned version, sensor; int temperature; } Temperature;
typedef union { double d; unsigned u; unsigned long ul; unsigned long long ull; long long sll; int s; unsigned short us; } Value;
typedef struct { unsigned id, scope; long long timestamp, latency; unsigned type, code; Value value; } FieldValue;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } ProcessInfo;
typedef struct { unsigned long long reference, violation; } Violation;
enum { TYPE_UNSIGNED = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!is_open) {
        read_scenario(getenv("NVML_SCENARIO"));
        wait_s(opens_s);
    }
    if (init_code) return init_code;
    is_open++;
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!is_open) return UNINITIALIZED; is_open--; return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the simulator"; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { ENTER(NULL, "SystemGetDriverVersion"); return text(to, size, driver); }
int nvmlSystemGetNVMLVersion(char *to, unsigned size) { ENTER(NULL, "SystemGetNVMLVersion"); return text(to, size, driver); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { ENTER(NULL, "SystemGetCudaDriverVersion"); *version = cuda; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }
int nvmlDeviceGetCount_v2(unsigned *count) { ENTER(NULL, "GetCount"); *count = gpus; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **d) {
    if (index >= (unsigned)gpus) return INVALID;
    ENTER(&gpu[index], "GetHandleByIndex");
    *d = &gpu[index];
    return SUCCESS;
}
int nvmlDeviceGetIndex(Device *d, unsigned *index) { ENTER(d, "GetIndex"); *index = d->index; return SUCCESS; }
int nvmlDeviceGetName(Device *d, char *to, unsigned size) { ENTER(d, "GetName"); return text(to, size, d->name); }
int nvmlDeviceGetUUID(Device *d, char *to, unsigned size) {
    char uuid[96];
    ENTER(d, "GetUUID");
    const char *kind = d->instance < 0 ? "GPU" : "MIG";
    snprintf(uuid, sizeof uuid, "%s-%08x-1111-2222-3333-44445555%04x", kind, 0xa0000000u + d->uuid, d->instance & 0xffff);
    return text(to, size, uuid);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **d) {
    char own[96];
    for (int i = 0; i < gpus; i++)
        if (nvmlDeviceGetUUID(&gpu[i], own, sizeof own) == SUCCESS && strcmp(own, uuid) == 0) { *d = &gpu[i]; return SUCCESS; }
    return NOT_FOUND;
}
int nvmlDeviceGetPciInfo_v3(Device *d, PciInfo *info) {
    ENTER(d, "GetPciInfo");
    memset(info, 0, sizeof *info);
    info->bus = 0x10 + d->index;
    snprintf(info->legacy, sizeof info->legacy, "0000:%02X:00.0", info->bus);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", info->bus);
    return SUCCESS;
}
int nvmlDeviceGetVbiosVersion(Device *d, char *to, unsigned size) { ENTER(d, "GetVbiosVersion"); return text(to, size, "92.00.45.00.05"); }
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) {
    ENTER(d, "GetCudaComputeCapability");
    *major = d->major, *minor = d->minor;
    return SUCCESS;
}

/* Functions that answer with one unsigned number. */
#define NUMBER(function, expression) \
    int nvmlDevice##function(Device *d, unsigned *answer) { ENTER(d, #function); *answer = (unsigned)(expression); return SUCCESS; }
/* The same, of something that the caller names first. */
#define NUMBER_OF(function, expression) \
    int nvmlDevice##function(Device *d, unsigned of, unsigned *answer) { \
        ENTER(d, #function); (void)of; *answer = (unsigned)(expression); return SUCCESS; }

NUMBER(GetArchitecture, d->major >= 9 ? 9 : d->major == 8 ? 7 : 6)
NUMBER(GetNumGpuCores, 6912)
NUMBER(GetMemoryBusWidth, 5120)
NUMBER(GetNumaNodeId, 0)
NUMBER(GetPersistenceMode, 1)
NUMBER(GetComputeMode, 0)
NUMBER(GetPerformanceState, 0)
NUMBER(GetFanSpeed, round(100 * shown(d, FAN, t)))
NUMBER(GetPowerUsage, round(1e3 * shown(d, POWER, t)))
NUMBER(GetEnforcedPowerLimit, round(1e3 * shown(d, POWER_LIMIT, t)))
NUMBER(GetPowerManagementLimit, round(1e3 * shown(d, POWER_LIMIT, t)))
NUMBER(GetPowerManagementDefaultLimit, 400000)
NUMBER(GetCurrPcieLinkGeneration, shown(d, LINK_GENERATION, t))
NUMBER(GetCurrPcieLinkWidth, shown(d, LINK_WIDTH, t))
NUMBER(GetMaxPcieLinkGeneration, 4)
NUMBER(GetMaxPcieLinkWidth, 16)
NUMBER(GetPcieReplayCounter, 3)
NUMBER(GetMaxMigDeviceCount, MOST_INSTANCES)
NUMBER_OF(GetTemperature, round(shown(d, TEMPERATURE, t)))
NUMBER_OF(GetTemperatureThreshold, of == 0 ? 92 : 89)
NUMBER_OF(GetClockInfo, round(1e-6 * shown(d, of == 2 ? MEMORY_CLOCK : SM_CLOCK, t)))
NUMBER_OF(GetMaxClockInfo, of == 2 ? 1215 : 1410)

int nvmlDeviceGetPowerManagementLimitConstraints(Device *d, unsigned *least, unsigned *most) {
    ENTER(d, "GetPowerManagementLimitConstraints");
    *least = 100000, *most = 400000;
    return SUCCESS;
}
int nvmlDeviceGetEccMode(Device *d, unsigned *now, unsigned *pending) { ENTER(d, "GetEccMode"); *now = *pending = 1; return SUCCESS; }
int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *pending) {
    ENTER(d, "GetMigMode");
    *now = *pending = d->instances > 0;
    return SUCCESS;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned number, Device **instance) {
    ENTER(d, "GetMigDeviceHandleByIndex");
    if (number >= (unsigned)d->instances) return NOT_FOUND;
    *instance = &part[d->index][number];
    return SUCCESS;
}
int nvmlDeviceIsMigDeviceHandle(Device *d, unsigned *answer) { ENTER(d, "IsMigDeviceHandle"); *answer = d->instance >= 0; return SUCCESS; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *d, Device **board) {
    ENTER(d, "GetDeviceHandleFromMigDeviceHandle");
    *board = d->board;
    return SUCCESS;
}
int nvmlDeviceGetGpuInstanceId(Device *d, unsigned *id) { ENTER(d, "GetGpuInstanceId"); *id = d->instance + 1; return SUCCESS; }
int nvmlDeviceGetComputeInstanceId(Device *d, unsigned *id) { ENTER(d, "GetComputeInstanceId"); *id = 0; return SUCCESS; }

static double total_of(const Device *d) { return d->instance < 0 ? TOTAL : TOTAL / 8; }
int nvmlDeviceGetMemoryInfo(Device *d, Memory *memory) {
    ENTER(d, "GetMemoryInfo");
    double used = shown(d, MEMORY_USED, t) / (d->instance < 0 ? 1 : 8) + RESERVED;
    *memory = (Memory){total_of(d), total_of(d) - used, used};
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(Device *d, Utilization *rates) {
    ENTER(d, "GetUtilizationRates");
    if (d->board->instances) return NOT_SUPPORTED;
    *rates = (Utilization){round(100 * shown(d, BUSY, t)), round(100 * shown(d, MEMORY_BUSY, t))};
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, unsigned long long *bits) {
    ENTER(d, "GetCurrentClocksThrottleReasons");
    *bits = events_at(d, t);
    return SUCCESS;
}
int nvmlDeviceGetViolationStatus(Device *d, unsigned policy, Violation *status) {
    ENTER(d, "GetViolationStatus");
    *status = (Violation){(unsigned long long)(t * 1e6), throttled_ns(d, policy == 0 ? 0x4 : 0x60, t)};
    return SUCCESS;
}
int nvmlDeviceGetTotalEccErrors(Device *d, unsigned kind, unsigned counter, unsigned long long *count) {
    ENTER(d, "GetTotalEccErrors");
    (void)counter;
    *count = counted(d, kind == 0 ? ECC_CORRECTED : ECC_UNCORRECTED, t);
    return SUCCESS;
}
int nvmlDeviceGetRemappedRows(Device *d, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    ENTER(d, "GetRemappedRows");
    *corrected = *uncorrected = *pending = *failed = 0;
    return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v2(Device *d, unsigned *count, ProcessInfo *infos) {
    ENTER(d, "GetComputeRunningProcesses");
    unsigned room = *count;
    *count = d->processes;
    if (room < *count) return TOO_SMALL;
    for (int i = 0; i < d->processes; i++)
        infos[i] = (ProcessInfo){d->process[i].pid, d->process[i].bytes, 0xFFFFFFFF, 0xFFFFFFFF};
    return SUCCESS;
}

/* An old driver lacks what follows (compile with -DOLD_DRIVER). */
#ifndef OLD_DRIVER
static unsigned long long energy_mj(const Device *d, double t) {
    return (unsigned long long)(counted(d, POWER, floor(t / d->counter_period + 1e-9) * d->counter_period) * 1e3);
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *count, ProcessInfo *infos) {
    return nvmlDeviceGetComputeRunningProcesses_v2(d, count, infos);
}
int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *mj) {
    ENTER(d, "GetTotalEnergyConsumption");
    *mj = energy_mj(d, t);
    return SUCCESS;
}
int nvmlDeviceGetTemperatureV(Device *d, Temperature *temperature) {
    ENTER(d, "GetTemperatureV");
    if (temperature->version != (sizeof *temperature | 1 << 24)) return MISMATCH;
    temperature->temperature = round(shown(d, TEMPERATURE, t));
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, unsigned long long *bits) {
    ENTER(d, "GetCurrentClocksEventReasons");
    *bits = events_at(d, t);
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *memory) {
    ENTER(d, "GetMemoryInfo_v2");
    if (memory->version != (sizeof *memory | 2 << 24)) return MISMATCH;
    double used = shown(d, MEMORY_USED, t) / (d->instance < 0 ? 1 : 8);
    *memory = (MemoryV2){memory->version, total_of(d), RESERVED, total_of(d) - used - RESERVED,
                         used + (d->used_holds_reserved ? RESERVED : 0)};
    return SUCCESS;
}
static int field(Device *d, FieldValue *f, double t) {
    unsigned long long *whole = &f->value.ull;
    f->type = TYPE_UNSIGNED_LONG_LONG;
    switch (f->id) {
    case 3: *whole = counted(d, ECC_CORRECTED, t); return SUCCESS;
    case 4: *whole = counted(d, ECC_UNCORRECTED, t); return SUCCESS;
    case 74: *whole = throttled_ns(d, 0x4, t); return SUCCESS;
    case 75: *whole = throttled_ns(d, 0x60, t); return SUCCESS;
    case 82: f->type = TYPE_UNSIGNED, f->value.u = round(shown(d, MEMORY_TEMPERATURE, t)); return SUCCESS;
    case 83: *whole = energy_mj(d, t); return SUCCESS;
    case 91: f->type = TYPE_UNSIGNED, f->value.u = 12; return SUCCESS;
    /* Of one link, where the scope names one. */
    case 138: *whole = counted(d, NVLINK_SENT, t) / 1024 / (f->scope == 0xFFFFFFFF ? 1 : 12); return SUCCESS;
    case 139: *whole = counted(d, NVLINK_RECEIVED, t) / 1024 / (f->scope == 0xFFFFFFFF ? 1 : 12); return SUCCESS;
    case 144: f->type = TYPE_UNSIGNED, f->value.u = 0; return SUCCESS;
    case 186:
        f->type = TYPE_UNSIGNED, f->value.u = round(1e3 * (lied(d, POWER, t) ? lied(d, POWER, t)->value
            : value_at(&d->curves[POWER], floor(t / d->period[POWER] + 1e-9) * d->period[POWER])));
        return SUCCESS;
    case 197: *whole = counted(d, PCIE_SENT, t); return SUCCESS;
    case 198: *whole = counted(d, PCIE_RECEIVED, t); return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}
int nvmlDeviceGetFieldValues(Device *d, int count, FieldValue *values) {
    ENTER(d, "GetFieldValues");
    for (int i = 0; i < count; i++) {
        char call[32];
        int code_of_field;
        snprintf(call, sizeof call, values[i].scope == 1 ? "field:%u:1" : "field:%u", values[i].id);
        double at = look(d, call, &code_of_field);
        values[i].code = code_of_field ? (unsigned)code_of_field : (unsigned)field(d, &values[i], t < at ? t : at);
    }
    return SUCCESS;
}
#endif
