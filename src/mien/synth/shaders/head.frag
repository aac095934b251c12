in vec3 v_position, v_normal, v_exposure, v_rest;
in vec2 v_uv;
in float v_cover, v_lid;
flat in int v_part;

uniform sampler2D face_albedo;  // sRGB; alpha says how far the map is to be trusted
uniform vec3 skin_tone, hair_tone, iris_color[2], lip_tone, lid_tone, tooth_tone;
uniform vec3 eye_center[2];     // rest
uniform mat3 eye_from_head[2];  // turns a direction into the eye's own axes
uniform float lash_density;
uniform float pupil, oiliness, freckles, lipstick, eyeshadow, limbus, redness, mouth_open;
uniform uint seed;

const int SKIN = 0, MOUTH = 1, SOCKET = 2, GUMS = 3, TEETH = 4, EYE_LEFT = 5, LASHES = 7;

vec3 to_linear(vec3 c) { return pow(c, vec3(2.2)); }

vec3 lit(vec3 albedo, vec3 n, vec3 exposure, vec3 wrap, float visibility) {
    vec3 light = surroundings(n, 0.667, 0.25) * exposure;
    for (int i = 0; i < 3; i++) {
        float c = dot(n, lamp_direction[i]);
        vec3 w = clamp((c + wrap) / (1.0 + wrap), 0.0, 1.0);
        float seen = i == 0 ? visibility : clamp(dot(exposure, vec3(0.4)), 0.0, 1.0);
        // Light bleeds into the shadow's edge, red farthest.
        light += lamp_color[i] * w * w * pow(vec3(seen), vec3(0.65, 0.95, 1.0));
    }
    return albedo * light;
}

vec3 gloss(vec3 n, vec3 v, vec3 exposure, float visibility, float roughness, float f0) {
    vec3 light = vec3(0.0);
    for (int i = 0; i < 3; i++) {
        float seen = i == 0 ? visibility : min(exposure.g, 1.0);
        light += lamp_color[i] * PI * seen * specular(n, v, lamp_direction[i], roughness, f0);
    }
    float fresnel = f0 + (1.0 - f0) * 0.5 * pow(1.0 - max(dot(n, v), 0.0), 5.0);
    float sharp = 1.0 - roughness * 0.5;
    return light + surroundings(reflect(-v, n), sharp, sharp * sharp * 0.6)
        * fresnel * exposure * exposure;
}

vec3 skin_albedo(float footprint, out float relief) {
    vec4 map = v_uv.x < 1.0 ? texture(face_albedo, vec2(v_uv.x, 1.0 - v_uv.y)) : vec4(0.0);
    float cloud = noise(v_rest * 1.4, seed) - 0.5, blotch = noise(v_rest * 0.45, seed) - 0.5 + 0.5 * cloud;
    vec3 plain = skin_tone * (1.0 + blotch * vec3(0.05, 0.09, 0.10));
    // The ears take blood, the neck lies in its own shade.
    float ear = smoothstep(6.8, 8.2, abs(v_rest.x)) * smoothstep(-4.0, 0.0, v_rest.y);
    plain *= mix(vec3(1.0), vec3(1.02, 0.88, 0.86), ear);
    // Where mouths end, maps of open and of closed ones disagree.
    vec2 corner = (vec2(abs(v_rest.x), v_rest.y) - vec2(2.7, -3.5)) / vec2(1.0, 0.7);
    map.a *= 1.0 - 0.7 * exp(-dot(corner, corner));
    relief = map.a * dot(map.rgb, vec3(0.33));
    // Photographs of open eyes do not show the lid that a blink brings out.
    map.a *= 1.0 - 0.9 * v_lid;
    plain *= mix(vec3(1.0), vec3(0.82, 0.82, 0.83), v_lid);
    vec3 albedo = mix(plain, to_linear(map.rgb), map.a);
    float mottle = noise(v_rest * 4.5, seed + 1u) - 0.5;
    albedo *= 1.0 + mottle * vec3(0.11, 0.16, 0.18) + cloud * vec3(0.03, 0.06, 0.13);
    float pore = noise(v_rest * 24.0, seed + 2u);
    albedo *= 1.0 - 0.10 * smoothstep(0.65, 0.9, pore) * (1.0 - smoothstep(0.02, 0.08, footprint));
    float spots = smoothstep(0.74, 0.80, noise(v_rest * 4.5, seed + 3u)
                             + 0.12 * (noise(v_rest * 0.6, seed + 4u) - 0.5));
    float where_spots = smoothstep(-3.0, 1.0, v_rest.y) * smoothstep(5.0, 8.5, v_rest.z);
    albedo *= mix(vec3(1.0), vec3(0.80, 0.68, 0.60), freckles * spots * where_spots);
    return mix(albedo, hair_tone * 0.6 + albedo * 0.15, v_cover * 0.85);
}

vec3 skin(vec3 n, vec3 v) {
    float footprint = length(fwidth(v_rest));
    float fine = 1.0 - smoothstep(0.03, 0.12, footprint);
    float relief;
    vec3 albedo = skin_albedo(footprint, relief);
    vec2 lip = (v_rest.xy - vec2(0.0, -3.4)) / vec2(2.7, 1.0);
    float on_lip = (1.0 - smoothstep(0.55, 1.0, dot(lip, lip))) * step(9.0, v_rest.z);
    float shade = max(dot(albedo, vec3(0.33)) / max(dot(skin_tone, vec3(0.33)), 0.01), 0.0);
    vec3 red = vec3(1.01, 0.70, 0.85) * (1.0 - 0.12 * smoothstep(-3.6, -3.1, v_rest.y));  // above darker
    albedo *= mix(vec3(1.0), red, on_lip);
    // Nose and cheeks are redder than the rest.
    vec2 nose = (v_rest.xy - vec2(0.0, 0.0)) / vec2(2.1, 2.4);
    vec2 cheek = (vec2(abs(v_rest.x), v_rest.y) - vec2(4.6, -0.8)) / vec2(2.0, 1.8);
    vec3 blood = exp(-dot(nose, nose)) * vec3(0.0, 0.12, 0.13) + exp(-dot(cheek, cheek)) * vec3(0.0, 0.08, 0.05);
    albedo *= 1.0 - blood * min(0.5 + redness, 1.2);
    // The sides are tanned more than the middle.
    albedo.b *= 1.0 - 0.06 * smoothstep(2.5, 5.5, abs(v_rest.x));
    albedo = mix(albedo, lip_tone * (0.4 + 0.7 * shade), on_lip * lipstick);
    albedo = mix(albedo, lid_tone * shade, smoothstep(0.05, 0.5, v_lid) * eyeshadow);
    float furrowed = creases(v_rest, seed);
    albedo *= 1.0 - furrowed * vec3(0.32, 0.36, 0.37);
    float height = fine * (0.009 * noise(v_rest * 22.0, seed) + 0.011 * noise(v_rest * 9.0, seed));
    height += 0.07 * relief;  // what is dark in a photograph of skin is mostly a furrow
    height -= 0.13 * furrowed;
    height += 0.006 * on_lip * fine * noise(v_rest * vec3(14.0, 3.0, 3.0), seed);
    vec3 rough_normal = bump(n, v_position, height);
    float visibility = lamp_visibility(v_position, n);
    // Skin lights skin: what little reaches a hollow has been through blood.
    vec3 exposure = vec3(pow(v_exposure.r, 0.92), v_exposure.g, pow(v_exposure.b, 1.2));
    // Inside the lips no light comes from the side.
    exposure *= 1.0 - 0.75 * v_cover;
    vec3 result = lit(albedo, normalize(mix(n, rough_normal, 0.6)), exposure,
                      vec3(0.34, 0.14, 0.08) * (1.0 - 0.5 * on_lip), visibility);
    // Oil: more on brow and nose; lips are wet.
    float zone = exp(-v_rest.x * v_rest.x / 5.0) * smoothstep(6.0, 10.0, v_rest.z);
    zone *= smoothstep(-6.5, -3.5, v_rest.y) * (1.0 + 0.6 * smoothstep(5.0, 8.0, v_rest.y));
    float wet = mix(0.8 + 0.3 * zone, 1.2, on_lip) * oiliness * (1.0 - 0.9 * v_cover);
    float grain = 0.6 + 0.8 * noise(v_rest * 11.0, seed + 5u);
    vec3 shine = gloss(rough_normal, v, exposure, visibility, 0.52, 0.028) * 0.85
        + gloss(rough_normal, v, exposure, visibility, mix(0.33, 0.27, on_lip), 0.028)
            * mix(0.18, 0.3, on_lip) * grain;
    return result + shine * wet;
}

vec3 iris_pattern(vec2 p, int side) {
    float r = length(p) / 0.60, a = atan(p.y, p.x);
    float fibre = noise(vec3(cos(a) * 9.0, sin(a) * 9.0, r * 1.6), seed + 11u)
        + 0.6 * noise(vec3(cos(a) * 22.0, sin(a) * 22.0, r * 2.5), seed + 12u)
        + 0.4 * noise(vec3(cos(a) * 5.0, sin(a) * 5.0, r * 5.0), seed + 13u);
    float edge = pupil + 0.10 + 0.05 * noise(vec3(cos(a) * 4.0, sin(a) * 4.0, 0.0), seed + 14u);
    vec3 c = iris_color[0] * (0.25 + 0.85 * fibre);
    c = mix(iris_color[1] * (0.35 + 0.7 * fibre), c, smoothstep(edge, edge + 0.22, r));
    c *= 1.0 - 0.55 * smoothstep(0.80, 1.0, r) * limbus;
    c *= smoothstep(pupil - 0.03, pupil + 0.035, r);
    return c;
}

vec3 eyeball(vec3 n, vec3 v, int side) {
    vec3 q = v_rest - eye_center[side];
    vec3 to_eye = eye_from_head[side] * v;
    float r = length(q.xy);
    bool front = q.z > 0.0;
    // The cornea bends the line of sight before it meets the iris.
    vec3 dome = normalize(vec3(q.xy * 0.95, 1.0));
    vec3 inner = refract(-to_eye, dome, 1.0 / 1.336);
    float depth = max(q.z - 1.40, 0.0);
    vec2 hit = q.xy + inner.xy / max(-inner.z, 0.3) * depth;
    float on_iris = front ? 1.0 - smoothstep(0.555, 0.64, length(mix(q.xy, hit, 0.7))) : 0.0;

    float veins = smoothstep(0.50, 0.90, r)
        * pow(1.0 - abs(2.0 * noise(q * vec3(3.0, 6.0, 3.0) + noise(q * 9.0, seed), seed + 21u) - 1.0), 9.0);
    vec3 white = mix(vec3(0.44, 0.44, 0.46), vec3(0.47, 0.33, 0.31), smoothstep(0.9, 1.7, r) * 0.5);
    white *= mix(0.65, 1.0, smoothstep(0.03, 0.3, skin_tone.g));  // pigment is in the eye, too
    white = mix(white, vec3(0.46, 0.16, 0.13), veins * redness);
    vec3 place = q * eye_from_head[side];  // in the head's axes
    float caruncle = smoothstep(0.75, 1.15, -place.x * sign(eye_center[side].x));
    white = mix(white, vec3(0.50, 0.27, 0.25), caruncle);
    // Iris light: the cornea focuses the lamp on the far side.
    vec3 albedo = mix(white, iris_pattern(hit, side), on_iris);

    float visibility = lamp_visibility(v_position, n);
    vec3 exposure = v_exposure;
    vec3 flat_normal = mix(n, normalize(v_normal), 0.5);
    // Lids and lashes shade the ball where it meets them.
    float open = (0.15 + 0.85 * smoothstep(-0.6, -0.05, -place.y)) * (0.7 + 0.3 * smoothstep(-0.7, -0.3, place.y))
        * max(0.7 + 0.3 * smoothstep(-1.2, -0.6, -abs(place.x)), caruncle);
    vec3 result = lit(albedo, flat_normal, exposure, vec3(0.2, 0.15, 0.14), visibility) * open;
    // A wet surface mirrors windows and lamps as small bright shapes.
    vec3 wet_normal = normalize(n + 0.01 * (noise(q * 14.0, seed) - 0.5));
    vec3 mirror = vec3(0.0);
    for (int i = 0; i < 3; i++) {
        float seen = i == 0 ? mix(visibility, 1.0, 0.3) : 1.0;
        mirror += lamp_color[i] * seen * min(specular(wet_normal, v, lamp_direction[i], 0.25, 0.04) * PI, 3.0);
    }
    float fresnel = 0.02 + 0.6 * pow(1.0 - max(dot(wet_normal, v), 0.0), 5.0);
    mirror += surroundings(reflect(-v, wet_normal), 0.95, 0.8) * fresnel * exposure;
    return result + mirror * smoothstep(0.1, 0.5, exposure.g);
}

vec3 mouth_part(vec3 n, vec3 v) {
    // Little light finds its way behind the lips: depth is what darkens.
    float depth = max(10.6 - v_rest.z, 0.0);
    float side = abs(v_rest.x) * 0.16;
    float light = exp(-depth * mix(0.9, 0.5, mouth_open) - side) * mix(0.6, 1.0, mouth_open);
    vec3 albedo = vec3(0.40, 0.09, 0.10);
    float roughness = 0.35, wet = 0.8;
    if (v_part == TEETH) {
        albedo = tooth_tone * (0.92 + 0.12 * noise(v_rest * 2.0, seed));
        roughness = 0.25; wet = 1.0;
    } else if (v_part == GUMS) {
        bool tongue = v_rest.y < -2.2 && abs(v_rest.x) < 2.0 && v_rest.z < 9.9 && v_rest.y > -4.9;
        albedo = tongue ? vec3(0.42, 0.15, 0.14) : vec3(0.45, 0.15, 0.15);
        albedo *= 0.8 + 0.4 * noise(v_rest * 8.0, seed);
        n = bump(n, v_position, 0.02 * noise(v_rest * 12.0, seed));
    } else if (v_part == SOCKET) {
        return skin_tone * vec3(0.8, 0.5, 0.5) * v_exposure * surroundings(n, 0.667, 0.25);
    }
    float visibility = lamp_visibility(v_position, n);
    vec3 exposure = vec3(light) * vec3(1.0, 0.9, 0.95);
    vec3 result = lit(albedo, n, exposure, vec3(0.3, 0.2, 0.2), visibility * sqrt(light));
    return result + gloss(n, v, exposure, visibility * light, roughness, 0.035) * wet;
}

// Lashes are drawn on cards, six rows a pair of lids; from afar they are a faint shade. Below the
// eye they are few, fine and short.
float lash_cover() {
    float across = fract(v_uv.y * 6.0), row = floor(v_uv.y * 6.0);
    bool upper = v_rest.y > 0.5 * (eye_center[0].y + eye_center[1].y) - 0.15;
    float lash = v_uv.x * 70.0 + 0.9 * sin(across * 2.0 + row * 2.0) + 0.37 * row;
    float chance = hash(ivec3(int(lash), int(row), 3), seed);
    float reach = upper ? 0.50 + 0.38 * chance : 0.30 * max(chance - 0.45, 0.0);
    float inner = 0.1 + 0.9 * smoothstep(-1.3, 0.0, abs(v_rest.x) - abs(eye_center[0].x));
    float taper = pow(clamp(1.0 - across / max(reach, 1e-3), 0.0, 1.0), 1.5);
    float width = inner * lash_density * (upper ? 0.4 : 0.12) * taper;
    float cell = abs(fract(lash) - 0.35 - 0.3 * fract(chance * 7.0)) * 2.0;
    float blur = clamp(fwidth(lash) * 1.5, 0.1, 2.0);
    float sharp = smoothstep(-blur, blur, width - cell);
    return mix(sharp * step(1e-4, width), width, clamp(blur - 0.5, 0.0, 1.0));
}

void main() {
    vec3 n = normalize(v_normal);
    vec3 v = normalize(camera - v_position);
#ifdef COVER
    keep(v_part == LASHES ? lash_cover() : 1.0);
#else
    vec3 shape = n;
    if (dot(n, v) < 0.0) n = normalize(n - 1.02 * dot(n, v) * v);
    vec3 light, lash = vec3(0.010, 0.007, 0.006) + 0.15 * hair_tone;
    if (v_part == SKIN) light = skin(n, v);
    else if (v_part == LASHES) light = lash * v_exposure * surroundings(v, 0.667, 0.25);
    else if (v_part >= EYE_LEFT) light = eyeball(n, v, v_part - EYE_LEFT);
    else light = mouth_part(n, v);
    finish(light, shape, v_part);
#endif
}
