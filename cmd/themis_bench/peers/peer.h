// What the peers of a comparison have in common: they read fvecs files, build an
// index of another library and answer requests, a line each, on their standard
// input, so that themis_bench can measure all of them in turn.
//
//   usage: PEER BASE.fvecs QUERIES.fvecs METRIC M EFCONSTRUCTION THREADS
//
//   build               ->  built NANOSECONDS CPU
//   save FILE           ->  saved
//   load FILE           ->  loaded
//   search K EF MICROS  ->  searched COUNT NANOSECONDS CPU
//
// A search asks all queries once, in order, and goes on from the first for as
// many microseconds as are given. After its answer come the ids that the first
// pass found, K int32 for each query, little endian, -1 where there are fewer.
// CPU is processor time of the whole process, in nanoseconds too.
#pragma once

#include <malloc.h>
#include <time.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct Matrix {
    size_t rows = 0, dim = 0;
    std::vector<float> data;
    const float* row(size_t i) const { return data.data() + i * dim; }
};

struct Arguments {
    std::string base, queries, metric;
    int m, efConstruction, threads;
};

// A library under test.
struct Peer {
    virtual ~Peer() = default;
    virtual void build(const Matrix& base) = 0;
    virtual void save(const std::string& file) = 0;
    virtual void load(const std::string& file) = 0;
    // Writes the ids of the k nearest, nearest first, -1 where there are fewer.
    virtual void search(const float* query, int k, int ef, int64_t* ids) = 0;
};

[[noreturn]] inline void fail(const std::string& what) {
    fprintf(stderr, "%s\n", what.c_str());
    exit(1);
}

// Under cosine the vectors are brought to length 1, which makes all metrics of
// these libraries rank as cosine does.
inline Matrix readFvecs(const std::string& name, bool unit) {
    FILE* f = fopen(name.c_str(), "rb");
    if (!f) fail("cannot open " + name);
    Matrix m;
    int32_t dim;
    while (fread(&dim, 4, 1, f) == 1) {
        if (dim < 1 || dim > (1 << 16) || (m.dim && m.dim != size_t(dim))) fail(name + " is no fvecs file");
        m.dim = dim;
        m.data.resize(m.data.size() + dim);
        float* row = &m.data[m.rows * m.dim];
        if (fread(row, 4, dim, f) != size_t(dim)) fail(name + " is cut short");
        if (unit) {
            double sum = 0;
            for (int i = 0; i < dim; i++) sum += double(row[i]) * row[i];
            for (int i = 0; i < dim; i++) row[i] = float(row[i] / std::sqrt(sum));
        }
        m.rows++;
    }
    fclose(f);
    return m;
}

inline int64_t clockNow(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * int64_t(1000000000) + t.tv_nsec;
}

// Measures from its construction on.
struct Stopwatch {
    int64_t wall = clockNow(CLOCK_MONOTONIC), cpu = clockNow(CLOCK_PROCESS_CPUTIME_ID);
    long long elapsed() const { return clockNow(CLOCK_MONOTONIC) - wall; }
    long long used() const { return clockNow(CLOCK_PROCESS_CPUTIME_ID) - cpu; }
};

inline void answerBuild(Peer& peer, const Arguments& a, bool unit) {
    Matrix base = readFvecs(a.base, unit);
    const Stopwatch watch;
    peer.build(base);
    printf("built %lld %lld\n", watch.elapsed(), watch.used());
    base = Matrix();
    malloc_trim(0);
}

inline void answerSearch(Peer& peer, const Matrix& queries, int k, int ef, long long micros) {
    std::vector<int64_t> ids(queries.rows * k), scrap(k);
    size_t count = 0;
    const Stopwatch watch;
    for (; count < queries.rows || watch.elapsed() < micros * 1000; count++) {
        const size_t i = count % queries.rows;
        peer.search(queries.row(i), k, ef, count < queries.rows ? &ids[i * k] : scrap.data());
    }
    printf("searched %zu %lld %lld\n", count, watch.elapsed(), watch.used());
    std::vector<int32_t> small(ids.begin(), ids.end());
    fwrite(small.data(), 4, small.size(), stdout);
}

inline void answer(Peer& peer, const Arguments& a, const Matrix& queries, std::string line) {
    int k, ef;
    long long micros;
    if (!line.empty() && line.back() == '\n') line.pop_back();
    if (line == "build") {
        answerBuild(peer, a, a.metric == "cosine");
    } else if (line.rfind("save ", 0) == 0) {
        peer.save(line.substr(5));
        printf("saved\n");
    } else if (line.rfind("load ", 0) == 0) {
        peer.load(line.substr(5));
        printf("loaded\n");
    } else if (sscanf(line.c_str(), "search %d %d %lld", &k, &ef, &micros) == 3) {
        answerSearch(peer, queries, k, ef, micros);
    } else {
        fail("unknown request " + line);
    }
    fflush(stdout);
}

inline int serve(int argc, char** argv, const std::function<Peer*(const Arguments&, size_t dim)>& make) {
    if (argc != 7) fail("usage: PEER BASE.fvecs QUERIES.fvecs METRIC M EFCONSTRUCTION THREADS");
    const Arguments a{argv[1], argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atoi(argv[6])};
    const Matrix queries = readFvecs(a.queries, a.metric == "cosine");
    const std::unique_ptr<Peer> peer(make(a, queries.dim));
    char line[4096];
    while (fgets(line, sizeof line, stdin)) answer(*peer, a, queries, line);
    return 0;
}
